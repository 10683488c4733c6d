# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of names of any number, in little memory."""

from __future__ import annotations

import sqlite3
from typing import Iterator

_SQLITE_CACHE_KIB = 4096


class NameSet:
    """A set of byte strings whose memory stays flat: SQLite moves it to disk as it grows."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute(f"PRAGMA cache_size=-{_SQLITE_CACHE_KIB}")
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("CREATE TABLE name (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> NameSet:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._table.close()

    def add(self, name: bytes) -> None:
        self._table.execute("INSERT OR IGNORE INTO name VALUES (?)", (name,))

    def discard(self, name: bytes) -> bool:
        """Remove *name*; whether it was there."""
        return self._table.execute("DELETE FROM name WHERE name = ?", (name,)).rowcount > 0

    def __iter__(self) -> Iterator[bytes]:
        """The names, sorted; the set must not change meanwhile."""
        return (row[0] for row in self._table.execute("SELECT name FROM name ORDER BY name"))

    def __contains__(self, name: object) -> bool:
        found = self._table.execute("SELECT 1 FROM name WHERE name = ?", (name,))
        return found.fetchone() is not None
