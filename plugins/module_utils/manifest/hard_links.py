# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard links as the manifest sees them, and what our own hard links do to the next walk.

**Groups.** A group is what the walk itself sees twice: ``st_nlink`` also counts the weekly
snapshots and the carrier links, so after the first snapshot every staged file has more than one
name. A first pass over the tree therefore sets bits in two maps of fixed size; only files whose
bits say "perhaps seen twice" are put into a table, and that table lies in SQLite, which moves it
to a temporary file when it grows. Memory stays flat whatever the number of files or groups.

**Change times.** ``link()`` and ``unlink()`` move a file's ctime although its content stays, so
a weekly snapshot would make the next walk read every byte again. The snapshot (and the prune of
an old one, and the carrier links) therefore runs inside :func:`link_window`, which writes down
when it began and ended. The walk accepts a changed ctime when it lies inside such a window and
inode, size and mtime are unchanged; any other changed ctime means that the file is read again.
The window is written only at its good end: after a crash everything is read, never less.

The risk that is left: a file whose bytes are changed in place, keeping size and mtime, by a
process other than rsync and *before* a snapshot that hides that change's ctime. Nothing but this
program's rsync writes into staging, rsync makes a new inode for new content, and rsync's own
quick check would not have copied such a change from the source either.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..filesystem.atomic_write import write_json_atomically

# 2**24 bits, 2 MiB a map. File systems number inodes densely, so that half a million files
# hardly ever share a bit by chance; a shared bit costs one row in the table, no more.
_MAP_BITS = 1 << 24
_SQLITE_CACHE_KIB = 4096

# File times come from the kernel's coarse clock, up to one tick (10 ms at 100 Hz) behind.
_CLOCK_LAG_SECONDS = 0.02
# A night opens three or four windows; only those since the last manifest are ever used.
_WINDOWS_KEPT = 64


class LinkWindow(NamedTuple):
    """A time in which only our own link() and unlink() calls changed the staged files."""

    start_ns: int
    end_ns: int


@contextlib.contextmanager
def link_window(path: str) -> Iterator[None]:
    """Tell the next walk, through the file *path*, that ctimes changed in here are our own.

    Whoever holds the run's lock wraps it around the making and the removal of snapshots and
    around ``plan_carriers``. Nothing else may write to the staged trees inside.
    """
    start_ns = time.time_ns()
    time.sleep(_CLOCK_LAG_SECONDS)
    yield
    end_ns = time.time_ns()
    windows = [*read_link_windows(path), LinkWindow(start_ns, end_ns)]
    write_json_atomically(path, windows[-_WINDOWS_KEPT:])
    # What comes after must not get a ctime from inside the window.
    time.sleep(_CLOCK_LAG_SECONDS)


def read_link_windows(path: str) -> List[LinkWindow]:
    """The windows in the file *path*, oldest first.

    None when it is missing or damaged: the next walk then reads every staged file once.
    """
    try:
        with open(path, encoding="ascii") as stream:
            return [LinkWindow(int(start), int(end)) for start, end in json.load(stream)]
    except (FileNotFoundError, ValueError, TypeError):
        return []


class HardLinks:
    """The hard-link groups of one walk; :meth:`note` every file first, then ask in order."""

    def __init__(self) -> None:
        self._seen_once = bytearray(_MAP_BITS // 8)
        self._seen_again = bytearray(_MAP_BITS // 8)
        # An empty name is SQLite's private temporary database, on disk once the cache is full.
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute(f"PRAGMA cache_size=-{_SQLITE_CACHE_KIB}")
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("PRAGMA synchronous=OFF")
        self._table.execute(
            "CREATE TABLE leader (device INTEGER, inode INTEGER, path BLOB, sha256 TEXT,"
            " PRIMARY KEY (device, inode)) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._table.close()

    def note(self, status: os.stat_result) -> None:
        """First pass: see one name of a file."""
        if status.st_nlink > 1:
            index, bit = _position(status)
            if self._seen_once[index] & bit:
                self._seen_again[index] |= bit
            self._seen_once[index] |= bit

    def leader(self, status: os.stat_result) -> Optional[Tuple[bytes, str]]:
        """Second pass: path and SHA-256 of the first name of this file, if there was one."""
        if not self._may_be_group(status):
            return None
        row = self._table.execute(
            "SELECT path, sha256 FROM leader WHERE device = ? AND inode = ?", _key(status)
        ).fetchone()
        return (bytes(row[0]), str(row[1])) if row else None

    def add(self, status: os.stat_result, path: bytes, sha256: str) -> None:
        """Second pass: *path* is the first name of this file and has this content."""
        if self._may_be_group(status):
            self._table.execute(
                "INSERT INTO leader VALUES (?, ?, ?, ?)", (*_key(status), path, sha256)
            )

    def _may_be_group(self, status: os.stat_result) -> bool:
        if status.st_nlink < 2:
            return False
        index, bit = _position(status)
        return bool(self._seen_again[index] & bit)


def _position(status: os.stat_result) -> Tuple[int, int]:
    number = status.st_ino % _MAP_BITS
    return number >> 3, 1 << (number & 7)


def _key(status: os.stat_result) -> Tuple[int, int]:
    """Device and inode as SQLite's signed 64-bit integers."""
    return _signed(status.st_dev), _signed(status.st_ino)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
