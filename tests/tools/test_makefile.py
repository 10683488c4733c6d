# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository's commands find root's programs, whichever way somebody became root."""

from __future__ import annotations

from tools.paths import CHECKOUT
from tools.shell import run


def test_programs_of_root_are_found_after_su() -> None:
    asked = run(
        ["make", "--no-print-directory", "--eval", "where: ; @command -v mkfs.ext4", "where"],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert asked.stdout.strip().endswith("sbin/mkfs.ext4")
