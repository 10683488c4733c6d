# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules' tables of attributes say alike."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes; each module adds what it supports, and details of its own."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what it would change, without changing it.
  diff_mode:
    description: Returns what changed, or in check mode what would, when it runs in diff mode.
"""

    # For the modules that can only do their work on a board.
    BOARD = r"""
options: {}
attributes:
  platform:
    description: The operating systems that the module runs on.
    platforms: linux
    support: full
"""
