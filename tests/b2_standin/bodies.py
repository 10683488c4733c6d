# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of files, on disk.

A body is one file below DATA/bodies. A file version (or a part of an unfinished one) is a list
of segments, each a slice of a body: a server-side copy shares the bodies of its source, and a
finished large file keeps the bodies of its parts, so neither moves a byte.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .database import Database

CHUNK_BYTES = 128 * 1024
WHOLE_FILE = 0  # the part number under which a complete file's segments are kept


class Segment(NamedTuple):
    """``length`` bytes from ``start`` of a body."""

    body: str
    start: int
    length: int


class Bodies:
    """Creates, reads, shares and removes bodies."""

    def __init__(self, directory: Path, database: Database) -> None:
        self._directory = directory
        self._database = database
        for index in range(256):
            (directory / f"{index:02x}").mkdir(parents=True, exist_ok=True)
        self.remove_orphans()

    def path(self, body: str) -> Path:
        """Where a body lies."""
        return self._directory / body[:2] / body

    def create(self) -> tuple[str, BinaryIO]:
        """A new body and the open file to write it to; ``discard`` it if nothing comes of it."""
        body = uuid.uuid4().hex
        return body, self.path(body).open("xb")

    def discard(self, bodies: Iterable[str]) -> None:
        """Unlink bodies that no segment refers to."""
        for body in bodies:
            self.path(body).unlink(missing_ok=True)

    def segments(self, file_seq: int, part: int = WHOLE_FILE) -> list[Segment]:
        """The segments of a file or of a part, in order."""
        with self._database.lock:
            rows = self._database.connection.execute(
                "SELECT body, start, length FROM segments WHERE file_seq = ? AND part = ?"
                " ORDER BY position",
                (file_seq, part),
            ).fetchall()
        return [Segment(*row) for row in rows]

    def set_segments(self, file_seq: int, part: int, segments: Iterable[Segment]) -> None:
        """Replace the segments of a file or part; unused bodies go once that is committed."""
        with self._database.transaction() as connection:
            old = self.segments(file_seq, part)
            connection.execute(
                "DELETE FROM segments WHERE file_seq = ? AND part = ?", (file_seq, part)
            )
            connection.executemany(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)",
                [(file_seq, part, index, *segment) for index, segment in enumerate(segments)],
            )
            self._discard_unused(old)

    def remove_file(self, file_seq: int) -> None:
        """Forget all segments of a file and its parts; unused bodies go with the commit."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT body, start, length FROM segments WHERE file_seq = ?", (file_seq,)
            ).fetchall()
            connection.execute("DELETE FROM segments WHERE file_seq = ?", (file_seq,))
            self._discard_unused(Segment(*row) for row in rows)

    def read(self, segments: Iterable[Segment]) -> Iterator[bytes]:
        """The bytes of segments in pieces of at most CHUNK_BYTES; OSError if a body is lost."""
        for segment in segments:
            with self.path(segment.body).open("rb") as stream:
                stream.seek(segment.start)
                left = segment.length
                while left:
                    piece = stream.read(min(left, CHUNK_BYTES))
                    if not piece:
                        raise OSError(f"body {segment.body} is shorter than its segment")
                    left -= len(piece)
                    yield piece

    def sha1(self, segments: Iterable[Segment]) -> str:
        """The SHA-1 of segments, in hexadecimal."""
        digest = hashlib.sha1()
        for piece in self.read(segments):
            digest.update(piece)
        return digest.hexdigest()

    def duplicate(self, segments: Iterable[Segment]) -> tuple[str, int]:
        """Copy segments into a body of their own; returns it and its size in bytes."""
        body, stream = self.create()
        size = 0
        with stream:
            for piece in self.read(segments):
                size += stream.write(piece)
        return body, size

    def _discard_unused(self, segments: Iterable[Segment]) -> None:
        unused = [
            body
            for body in {segment.body for segment in segments}
            if self._database.connection.execute(
                "SELECT 1 FROM segments WHERE body = ? LIMIT 1", (body,)
            ).fetchone()
            is None
        ]
        self._database.after_commit(lambda: self.discard(unused))

    def remove_orphans(self) -> None:
        """Unlink what nothing refers to: a killed server's unfinished uploads.

        Not while uploads are running: their bodies are recorded only at the end.
        """
        with self._database.lock:
            rows = self._database.connection.execute(
                "SELECT DISTINCT body FROM segments"
            ).fetchall()
        known = {row[0] for row in rows}
        for folder in os.scandir(self._directory):
            for entry in os.scandir(folder.path):
                if entry.name not in known:
                    Path(entry.path).unlink(missing_ok=True)


def slice_segments(segments: Iterable[Segment], start: int, length: int) -> list[Segment]:
    """The segments of ``length`` bytes from offset ``start``."""
    result = []
    for segment in segments:
        skipped = min(start, segment.length)
        start -= skipped
        taken = min(length, segment.length - skipped)
        if taken > 0:
            result.append(Segment(segment.body, segment.start + skipped, taken))
            length -= taken
    return result
