# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bytes reach a disk, as the kernel counts them below the page cache."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SECTOR_BYTES = 512
# https://docs.kernel.org/block/stat.html: the seventh number counts sectors written.
_SECTORS_WRITTEN = 6

# Without these the kernel goes on writing empty tables for a while after the first mount.
MKFS_OPTIONS = ("-E", "lazy_itable_init=0,lazy_journal_init=0")


def bytes_written(mount_point: Path) -> int:
    """Bytes written to the device of *mount_point* so far, what is still in memory included."""
    os.sync()
    command = ["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", str(mount_point)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stat = Path("/sys/block", os.path.basename(told.strip()), "stat").read_text(encoding="ascii")
    return int(stat.split()[_SECTORS_WRITTEN]) * SECTOR_BYTES


def a_day_passes(*trees: Path) -> None:
    """Let the directories' access times be old, as they are when the next night reads them.

    ext4 writes such a time once a day (relatime): on a real board every night does.
    """
    for tree in trees:
        for name, _directories, _files in os.walk(tree):
            os.utime(name, ns=(0, os.stat(name).st_mtime_ns))
