# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a directory holds on its disk, hard links counted once."""

from __future__ import annotations

import os
from typing import List, Set

# stat(2): st_blocks counts these, whatever the file system's blocks are.
_STAT_BLOCK_BYTES = 512


def used_bytes(directory: str) -> int:
    """The bytes on disk of all that is below *directory*, on its own file system.

    A file with several names counts once. Raises :class:`OSError` when it can't be read.
    """
    top = os.lstat(directory)
    total_blocks = top.st_blocks
    # Only files with several names can come again: a set of all inodes would take memory.
    seen: Set[int] = set()
    waiting: List[str] = [directory]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev != top.st_dev:
                    continue
                is_directory = entry.is_dir(follow_symlinks=False)
                if not is_directory and status.st_nlink > 1:
                    if status.st_ino in seen:
                        continue
                    seen.add(status.st_ino)
                total_blocks += status.st_blocks
                if is_directory:
                    waiting.append(entry.path)
    return total_blocks * _STAT_BLOCK_BYTES
