# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of /etc/fstab: found, put in place, taken out. All other lines stay as they are."""

from __future__ import annotations

import os
import stat
from typing import List, NamedTuple, Optional

from .atomic_write import write_atomically

FSTAB_PATH = "/etc/fstab"
_FIELDS_MIN = 4


class FstabEntry(NamedTuple):
    """What is mounted where, and how. None of the fields may hold white space."""

    source: str
    mount_point: str
    file_system: str
    options: str

    def as_line(self) -> str:
        """The line; never dumped, and never checked by fsck, which takes devices only."""
        return f"{self.source} {self.mount_point} {self.file_system} {self.options} 0 0\n"


def entry_for(mount_point: str, path: str = FSTAB_PATH) -> Optional[FstabEntry]:
    """The entry of *mount_point*, or None."""
    for line in _lines(path):
        entry = _entry(line)
        if entry is not None and entry.mount_point == mount_point:
            return entry
    return None


def put_entry(entry: FstabEntry, path: str = FSTAB_PATH) -> None:
    """Make *entry* the one of its mount point, in its place or at the end."""
    lines = _lines(path)
    where = [number for number, line in enumerate(lines) if _is_for(line, entry.mount_point)]
    if where:
        lines[where[0]] = entry.as_line()
    else:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(entry.as_line())
    _write(lines, path)


def drop_entry(mount_point: str, path: str = FSTAB_PATH) -> None:
    """Take the line of *mount_point* out."""
    _write([line for line in _lines(path) if not _is_for(line, mount_point)], path)


def _is_for(line: str, mount_point: str) -> bool:
    entry = _entry(line)
    return entry is not None and entry.mount_point == mount_point


def _entry(line: str) -> Optional[FstabEntry]:
    fields = line.split()
    if len(fields) < _FIELDS_MIN or fields[0].startswith("#"):
        return None
    return FstabEntry(*fields[:_FIELDS_MIN])


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.readlines()
    except FileNotFoundError:
        return []


def _write(lines: List[str], path: str) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644
    write_atomically(path, "".join(lines).encode("utf-8", "surrogateescape"), mode)
