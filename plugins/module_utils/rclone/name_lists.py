# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of names: those given to rclone with ``--files-from-raw``, and what rclone listed."""

from __future__ import annotations

import csv
import itertools
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Iterable, Iterator, Optional, Tuple, Type

from .log import RcloneError

# rclone holds a list in memory: 125 MB with 200,000 names, 87 MB with 20,000, where 82 MB is what
# it takes for any listing (rclone 1.75, x86_64, GOGC=20).
LIST_NAMES_MAX = 20_000

# For `rclone lsf --time-format`, a layout as Go's package time takes it: B2 keeps milliseconds.
TIME_FORMAT = "2006-01-02T15:04:05.000-07:00"


def raw_path(entry: Entry) -> bytes:
    """The bytes of the path of *entry*."""
    return entry.path.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Entry:
    """One object of a listing; *path* holds other than UTF-8 bytes as surrogate escapes.

    *modified* is its time as rclone told it (see :func:`modified_ms`).
    """

    path: str
    bytes: int
    modified: str = ""


class ListWriter:
    """Writes relative paths as bytes, one a line, to *path*; *count* is how many.

    A name that --files-from-raw can't carry (a line feed in it, a carriage return at its end)
    raises :class:`RcloneError`: such files travel under a carrier's name.
    """

    def __init__(self, path: str) -> None:
        self.count = 0
        self._stream = open(path, "wb")  # noqa: SIM115 # closed by __exit__

    def __enter__(self) -> ListWriter:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._stream.close()

    def write(self, name: bytes) -> None:
        """Add one name."""
        if b"\n" in name or name.endswith(b"\r"):
            raise RcloneError(f"the name {name!r} can't be put on rclone's list of files")
        self._stream.write(name + b"\n")
        self.count += 1


def write_file_list(path: str, names: Iterable[bytes]) -> int:
    """Write *names* with a :class:`ListWriter`; return how many."""
    with ListWriter(path) as writer:
        for name in names:
            writer.write(name)
        return writer.count


def iter_parts(path: str, names_max: int = LIST_NAMES_MAX) -> Iterator[Tuple[str, int]]:
    """The list *path* in parts of at most *names_max* names: a file for each, and its count.

    Each part is gone when the next is asked for; the list itself stays. A list that is short
    enough is its own only part, an empty one has none.
    """
    with open(path, "rb") as stream:
        count = sum(1 for _line in itertools.islice(stream, names_max + 1))
        if count <= names_max:
            if count:
                yield path, count
            return
        stream.seek(0)
        part = f"{path}.part"
        try:
            while True:
                with open(part, "wb") as out:
                    count = 0
                    for line in itertools.islice(stream, names_max):
                        out.write(line)
                        count += 1
                if not count:
                    return
                yield part, count
        finally:
            os.unlink(part)


def read_listing(path: str) -> Iterator[Entry]:
    """The entries of a file written by :meth:`.commands.Rclone.list_to`, one at a time."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        for row in csv.reader(stream):
            yield Entry(path=row[1], bytes=int(row[0]), modified=row[2])


def modified_ms(told: str) -> Optional[int]:
    """The time in a listing in milliseconds since the epoch; None beyond the years 1 to 9999.

    The distribution's rclone 1.60 tells whole seconds and no time zone: it runs with UTC.
    """
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000
