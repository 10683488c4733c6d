# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of this tree for checks that want it at another place."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..paths import CHECKOUT
from ..shell import run

# Not part of the collection: what only a checkout has. The stand-in comes along, for
# unit tests may ask it.
OUTSIDE = (
    ".ci",
    ".collections",
    ".config",
    "bench",
    "molecule",
    "tests/integration",
    "tests/tools",
    "tools",
)


def tracked_files() -> list[str]:
    """Return the files that git knows or would take, relative to the checkout."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT
    )
    names = sorted(set(listed.stdout.split("\0")) - {""})
    # A file that was deleted and not yet committed is still in the index.
    return [name for name in names if (CHECKOUT / name).exists()]


def copy_collection(root: Path) -> Path:
    """Copy the tree to ROOT/ansible_collections/lepotato/backup, a git checkout of its own.

    ansible-test refuses a tree that it reaches through a link, and asks git for the files.
    """
    target = root / "ansible_collections" / "lepotato" / "backup"
    for name in tracked_files():
        if f"{name}/".startswith(tuple(f"{folder}/" for folder in OUTSIDE)):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target / name, follow_symlinks=False)
    run(["git", "init", "-q", "."], cwd=target)
    run(["git", "add", "--all"], cwd=target)
    return target
