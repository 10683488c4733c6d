# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels to the bucket and under which name: carriers and upload lists.

A file with an odd name (:mod:`.odd_names`) gets a hard link ``.carrier/<hex>`` beside the
trees; the content of a hard-link group travels once, under its leader's name. All paths here
are bytes relative to the described root; upload and download paths hold no newline and are
safe for ``rclone --files-from-raw`` and ``--no-traverse``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import Iterator, NamedTuple, Optional, Tuple

from .file import read_entries
from .model import CARRIER_DIRECTORY, FILE, AnyPath, Entry, Select, content_path, merged

UPLOAD = "upload"
DELETE = "delete"

_TEMPORARY_SUFFIX = b".new"
_SQLITE_CACHE_KIB = 4096


class CarrierResult(NamedTuple):
    """How many carriers there are, and how many were made or removed just now."""

    carriers: int
    created: int
    removed: int


def plan_carriers(root: AnyPath, manifest: AnyPath) -> CarrierResult:
    """Bring ``root/.carrier`` to what *manifest*, just written for *root*, needs.

    Run it inside :func:`.manifest_links.link_window`: linking moves ctimes. Where a file can't
    be linked (too many links) it is copied. Can be repeated; raises :class:`OSError`.
    """
    base = os.fsencode(root)
    directory = os.path.join(base, CARRIER_DIRECTORY)
    created = carriers = 0
    with NameSet() as wanted:
        for entry in read_entries(manifest):
            if not entry.carrier or entry.link is not None:
                continue
            if not carriers:
                os.makedirs(directory, mode=0o700, exist_ok=True)
            carriers += 1
            name = entry.carrier.encode("ascii")
            wanted.add(name)
            created += _link_carrier(os.path.join(base, entry.path), os.path.join(directory, name))
        removed = _remove_unwanted(directory, wanted)
    if not carriers and os.path.isdir(directory):
        os.rmdir(directory)
    return CarrierResult(carriers, created, removed)


def _link_carrier(source: bytes, carrier: bytes) -> bool:
    """Make *carrier* a name of the file *source*; returns whether it was not one already."""
    wanted = os.lstat(source)
    try:
        present = os.lstat(carrier)
    except FileNotFoundError:
        pass
    else:
        if os.path.samestat(wanted, present) or _is_fresh_copy(wanted, present):
            return False
    temporary = carrier + _TEMPORARY_SUFFIX
    if os.path.lexists(temporary):
        os.unlink(temporary)
    try:
        os.link(source, temporary, follow_symlinks=False)
    except OSError:
        # No more links on this inode or none on this file system: a copy costs its bytes.
        shutil.copy2(source, temporary, follow_symlinks=False)
    os.rename(temporary, carrier)
    return True


def _is_fresh_copy(wanted: os.stat_result, present: os.stat_result) -> bool:
    """A carrier that is a copy has one name; it is fresh by the rule that rsync uses too."""
    return (present.st_nlink, present.st_size, present.st_mtime_ns) == (
        1,
        wanted.st_size,
        wanted.st_mtime_ns,
    )


def _remove_unwanted(directory: bytes, wanted: NameSet) -> int:
    if not os.path.isdir(directory):
        return 0
    removed = 0
    with os.scandir(directory) as found:
        for item in found:
            if item.name not in wanted:
                os.unlink(item.path)
                removed += 1
    return removed


def iter_upload_paths(manifest: AnyPath) -> Iterator[bytes]:
    """Every path whose bytes travel: plain names, leaders of groups, carriers; each once."""
    return map(content_path, iter_travelling(manifest))


def iter_download_paths(manifest: AnyPath, select: Optional[Select] = None) -> Iterator[bytes]:
    """What must be downloaded for the entries whose path *select* accepts; each path once.

    It may name leaders that are not selected themselves: apply removes them at its end.
    """
    with NameSet() as foreign:
        for entry in read_entries(manifest):
            if entry.type != FILE or not (select is None or select(entry.path)):
                continue
            path = content_path(entry)
            if entry.link is not None:
                if (select is None or select(entry.link)) or path in foreign:
                    continue
                foreign.add(path)
            yield path


def iter_upload_changes(
    previous: Optional[AnyPath], current: AnyPath
) -> Iterator[Tuple[str, bytes]]:
    """What must be done to a bucket that holds *previous* so that it holds *current*.

    Yields (:data:`UPLOAD`, path) for new or changed bytes or mtimes and (:data:`DELETE`, path)
    for names that no longer travel, in the manifest's order.
    """
    before = iter_travelling(previous) if previous is not None else iter(())
    for old, new in merged(before, iter_travelling(current)):
        if new is None:
            if old is not None:
                yield DELETE, content_path(old)
        elif old is None:
            yield UPLOAD, content_path(new)
        elif content_path(old) != content_path(new):
            yield DELETE, content_path(old)
            yield UPLOAD, content_path(new)
        elif (old.size, old.mtime_ns, old.sha256) != (new.size, new.mtime_ns, new.sha256):
            yield UPLOAD, content_path(new)


def iter_travelling(manifest: AnyPath) -> Iterator[Entry]:
    """The entries whose bytes travel; :func:`.manifest.content_path` tells under which name."""
    return (entry for entry in read_entries(manifest) if entry.type == FILE and entry.link is None)


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
