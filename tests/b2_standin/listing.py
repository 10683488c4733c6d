# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""b2_list_file_names, b2_list_file_versions and b2_list_unfinished_large_files.

Names ascend by their UTF-8 bytes (which is also the order of Python's strings), versions of one
name descend by upload time. With a delimiter, names that share a "folder" appear once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from .database import Database
from .versions import COLUMNS, Version, parse_file_id

_BEFORE_ALL = -(2**63)


@dataclass(frozen=True)
class Folder:
    """A folder in a listing with a delimiter; the name ends with the delimiter."""

    name: str


@dataclass(frozen=True)
class Page:
    """One page of a listing and where the next one starts (None at the end)."""

    entries: list[Union[Version, Folder]]
    next_name: str | None
    next_id: str | None


@dataclass(frozen=True)
class Query:
    """What to list; ``start_id`` counts only together with ``start_name``."""

    bucket_id: str
    prefix: str = ""
    delimiter: str | None = None
    start_name: str = ""
    start_id: str | None = None
    count: int = 100


def list_names(database: Database, query: Query) -> Page:
    """The current, visible files."""
    return _page(database, query, _visible_only=True)


def list_versions(database: Database, query: Query) -> Page:
    """All versions: uploads, hide markers and unfinished large files ("start")."""
    return _page(database, query, _visible_only=False)


def list_unfinished(
    database: Database, bucket_id: str, name_prefix: str, start_id: str | None, count: int
) -> tuple[list[Version], str | None]:
    """A page of unfinished large files in the order of their IDs, and where the next starts."""
    start_seq = 0 if start_id is None else parse_file_id(start_id)[1]
    found: list[Version] = []
    with database.lock:
        for row in database.connection.execute(
            f"SELECT {COLUMNS} FROM files WHERE bucket_id = ? AND action = 'start' AND seq >= ?"
            " ORDER BY seq",
            (bucket_id, start_seq),
        ):
            version = Version(*row)
            if not version.name.startswith(name_prefix):
                continue
            if len(found) == count:
                return found, version.file_id
            found.append(version)
    return found, None


def _page(database: Database, query: Query, _visible_only: bool) -> Page:
    entries: list[Union[Version, Folder]] = []
    with database.lock:
        for entry in _walk(database, query, _visible_only):
            if len(entries) == query.count:
                is_version = isinstance(entry, Version) and not _visible_only
                next_id = entry.file_id if is_version and isinstance(entry, Version) else None
                return Page(entries, entry.name, next_id)
            entries.append(entry)
    return Page(entries, None, None)


def _walk(database: Database, query: Query, visible_only: bool) -> Iterator[Union[Version, Folder]]:
    """Entries from the start on; after a folder the walk jumps over everything inside it."""
    position: tuple[str, int, int] | None = _start(query)
    while position is not None:
        here, position = position, None
        decided: str | None = None
        for row in database.connection.execute(
            f"SELECT {COLUMNS} FROM files WHERE bucket_id = ?"
            " AND (name, minus_ms, minus_seq) >= (?, ?, ?) ORDER BY name, minus_ms, minus_seq",
            (query.bucket_id, *here),
        ):
            version = Version(*row)
            if not version.name.startswith(query.prefix):
                return
            if visible_only:
                # The newest finished version decides; an unfinished one neither shows nor hides.
                if version.name == decided or version.action == "start":
                    continue
                decided = version.name
                if version.action == "hide":
                    continue
            folder = _folder(version.name, query)
            if folder is None:
                yield version
                continue
            yield Folder(folder)
            position = (folder[:-1] + chr(ord(folder[-1]) + 1), _BEFORE_ALL, _BEFORE_ALL)
            break


def _start(query: Query) -> tuple[str, int, int]:
    if query.start_name < query.prefix:
        return query.prefix, _BEFORE_ALL, _BEFORE_ALL
    if query.start_id is None:
        return query.start_name, _BEFORE_ALL, _BEFORE_ALL
    _bucket_id, seq, uploaded_ms = parse_file_id(query.start_id)
    return query.start_name, -uploaded_ms, -seq


def _folder(name: str, query: Query) -> str | None:
    if not query.delimiter:
        return None
    index = name.find(query.delimiter, len(query.prefix))
    return None if index < 0 else name[: index + len(query.delimiter)]
