# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata on disk: one SQLite database in WAL mode, one connection, one lock.

synchronous=OFF is enough here: a killed process loses nothing that was committed, and a power
cut during a test run is not a case. It keeps a commit at tens of microseconds.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Versions sort by name ascending (SQLite compares TEXT by its UTF-8 bytes, as B2 does), then
# newest first: the negated timestamp and sequence make one ascending index out of that.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL, capabilities TEXT NOT NULL,
    bucket_ids TEXT, name_prefix TEXT, expires_ms INTEGER, is_master INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY, key_id TEXT NOT NULL, kind TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    bucket_id TEXT, file_seq INTEGER, name_prefix TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
    bucket_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL, info TEXT NOT NULL,
    cors_rules TEXT NOT NULL, lifecycle_rules TEXT NOT NULL, encryption TEXT NOT NULL,
    lock_enabled INTEGER NOT NULL, default_retention TEXT NOT NULL, revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, bucket_id TEXT NOT NULL, name TEXT NOT NULL,
    minus_ms INTEGER NOT NULL, minus_seq INTEGER NOT NULL, action TEXT NOT NULL,
    size INTEGER NOT NULL, sha1 TEXT, content_type TEXT, info TEXT NOT NULL, encryption TEXT,
    retention TEXT, legal_hold TEXT
);
CREATE INDEX IF NOT EXISTS files_in_order ON files (bucket_id, name, minus_ms, minus_seq);
CREATE INDEX IF NOT EXISTS files_unfinished ON files (bucket_id, seq) WHERE action = 'start';
CREATE TABLE IF NOT EXISTS parts (
    file_seq INTEGER NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, sha1 TEXT NOT NULL,
    uploaded_ms INTEGER NOT NULL, PRIMARY KEY (file_seq, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
    file_seq INTEGER NOT NULL, part INTEGER NOT NULL, position INTEGER NOT NULL,
    body TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (file_seq, part, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_by_body ON segments (body);
"""


class Database:
    """A connection that all request threads share; every use of it holds ``lock``."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.executescript(_SCHEMA)
        self._is_open = False
        self._after_commit: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction; nested blocks join the outer one."""
        with self.lock:
            if self._is_open:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            self._is_open = True
            self._after_commit = []
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            else:
                self.connection.execute("COMMIT")
                for action in self._after_commit:
                    action()
            finally:
                self._is_open = False

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something once the transaction that is open now has been committed."""
        self._after_commit.append(action)

    def setting(self, name: str) -> str | None:
        """A stored setting, or None."""
        with self.lock:
            row = self.connection.execute(
                "SELECT value FROM settings WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value)
            )

    def empty(self) -> None:
        """Delete everything but the settings."""
        with self.transaction() as connection:
            for table in ("keys", "tokens", "buckets", "files", "parts", "segments"):
                connection.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self.connection.close()
