# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules have alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Shared options; nothing is in all modules."""

    DOCUMENTATION = r"""
options: {}
"""

    DIRECTORIES = r"""
options:
  directories:
    description: Directories that must exist, in the order given.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the directory.
        type: path
        required: true
      mode:
        description: Its permissions, octal.
        type: str
        default: "0755"
"""

    MOUNT_POINT = r"""
options:
  mount_point:
    description: Where the SSD is mounted.
    type: path
    required: true
"""
