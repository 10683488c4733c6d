# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large files: started, filled part by part, then finished or cancelled."""

from __future__ import annotations

from typing import Any, NamedTuple

from .bodies import WHOLE_FILE, Bodies, Segment
from .database import Database
from .errors import B2Error, bad_request
from .versions import Version, Versions

PART_NUMBER_MAX = 10_000
LISTED_PARTS_MAX = 1000
PART_BYTES_MIN = 5_000_000  # absoluteMinimumPartSize: every part but the last
RECOMMENDED_PART_BYTES = 100_000_000


class Part(NamedTuple):
    """A part of an unfinished large file."""

    number: int
    size: int
    sha1: str
    uploaded_ms: int


class LargeFiles:
    """Parts and their life until the file is finished or cancelled."""

    def __init__(self, database: Database, bodies: Bodies, versions: Versions) -> None:
        self._database = database
        self._bodies = bodies
        self._versions = versions

    def unfinished(self, file_id: str) -> Version:
        """The unfinished large file of an ID; 400 if it isn't one (any more)."""
        try:
            version = self._versions.get(file_id)
        except B2Error as error:
            if error.status != 404:
                raise
            raise bad_request(f"No active upload for: {file_id}") from error
        if version.action != "start":
            raise bad_request(f"No active upload for: {file_id}")
        return version

    def add_part(self, file_id: str, part: Part, segments: list[Segment]) -> None:
        """Record a part, replacing an earlier one of that number."""
        check_part_number(part.number)
        with self._database.transaction() as connection:
            version = self.unfinished(file_id)
            connection.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)",
                (version.seq, part.number, part.size, part.sha1, part.uploaded_ms),
            )
            self._bodies.set_segments(version.seq, part.number, segments)

    def parts(self, file_seq: int, start_number: int = 1) -> list[Part]:
        """The parts from a number on, in order."""
        with self._database.lock:
            rows = self._database.connection.execute(
                "SELECT number, size, sha1, uploaded_ms FROM parts WHERE file_seq = ?"
                " AND number >= ? ORDER BY number",
                (file_seq, start_number),
            ).fetchall()
        return [Part(*row) for row in rows]

    def finish(self, file_id: str, sha1s: list[str]) -> Version:
        """Make the file out of its parts; 400 for a missing, wrong or too small one.

        The version keeps the ID and the time of its start; its SHA-1 is "none", as B2's.
        """
        with self._database.transaction() as connection:
            version = self.unfinished(file_id)
            parts = self.parts(version.seq)
            if not parts:
                raise bad_request("a large file must have at least one part")
            if [part.number for part in parts] != list(range(1, len(sha1s) + 1)):
                raise B2Error(400, "missing_part", "the parts are not 1 to the number of SHA-1s")
            for part, sha1 in zip(parts, sha1s):
                if part.sha1 != sha1:
                    raise B2Error(
                        400, "part_sha1_mismatch", f"SHA-1 of part {part.number} is {part.sha1}"
                    )
            for part in parts[:-1]:
                if part.size < PART_BYTES_MIN:
                    raise bad_request(
                        f"part number {part.number} is smaller than {PART_BYTES_MIN} bytes"
                    )
            segments = [
                segment
                for part in parts
                for segment in self._bodies.segments(version.seq, part.number)
            ]
            self._bodies.set_segments(version.seq, WHOLE_FILE, segments)
            connection.execute(
                "DELETE FROM segments WHERE file_seq = ? AND part != ?", (version.seq, WHOLE_FILE)
            )
            connection.execute("DELETE FROM parts WHERE file_seq = ?", (version.seq,))
            size = sum(part.size for part in parts)
            connection.execute(
                "UPDATE files SET action = 'upload', sha1 = 'none', size = ? WHERE seq = ?",
                (size, version.seq),
            )
        return version._replace(action="upload", sha1="none", size=size)

    def cancel(self, file_id: str) -> Version:
        """Drop an unfinished file and its parts."""
        with self._database.transaction():
            version = self.unfinished(file_id)
            self._versions.remove(version)
        return version


def check_part_number(number: int) -> None:
    """400 unless the number lies in 1 to 10000."""
    if not 1 <= number <= PART_NUMBER_MAX:
        raise bad_request(f"Part number must be in range 1 - {PART_NUMBER_MAX}")


def part_answer(part: Part, file_id: str) -> dict[str, Any]:
    """A part as b2_upload_part, b2_copy_part and b2_list_parts show it."""
    return {
        "contentLength": part.size,
        "contentMd5": None,
        "contentSha1": part.sha1,
        "fileId": file_id,
        "partNumber": part.number,
        "serverSideEncryption": {"algorithm": None, "mode": None},
        "uploadTimestamp": part.uploaded_ms,
    }
