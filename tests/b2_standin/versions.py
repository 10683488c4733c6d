# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File versions: uploads, hide markers, unfinished large files, and how the API shows them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from .accounts import Key, require
from .bodies import WHOLE_FILE, Bodies, Segment
from .buckets import RETENTION_MODES, Bucket
from .clock import DAY_MS, Clock
from .database import Database
from .errors import B2Error, bad_request, file_not_present, not_found
from .names import (
    HEADER_BYTES_MAX,
    HEADER_BYTES_MAX_ENCRYPTED_OR_LOCKED,
    check_name,
    checked_info,
)

COLUMNS = (
    "seq, bucket_id, name, minus_ms, action, size, sha1, content_type, info, encryption,"
    " retention, legal_hold"
)
_FILE_ID = re.compile(
    r"4_z(?P<bucket>[0-9a-f]{24})_f(?P<seq>[0-9a-f]{16})_d\d{8}_m\d{6}_c001_v0001000_t0000"
    r"_u(?P<ms>\d{14})\Z"
)


class Version(NamedTuple):
    """A row of the files table (``COLUMNS``); JSON columns are still text."""

    seq: int
    bucket_id: str
    name: str
    minus_ms: int
    action: str
    size: int
    sha1: str | None
    content_type: str | None
    info: str
    encryption: str | None
    retention: str | None
    legal_hold: str | None

    @property
    def uploaded_ms(self) -> int:
        """The upload timestamp, in milliseconds since the epoch."""
        return -self.minus_ms

    @property
    def file_id(self) -> str:
        """B2's form of a file ID, from which the place in the order can be read back."""
        return (
            f"4_z{self.bucket_id}_f{self.seq:016x}_{_day_and_time(self.uploaded_ms // 1000)}"
            f"_c001_v0001000_t0000_u{self.uploaded_ms:014d}"
        )

    def info_map(self) -> dict[str, str]:
        """The file info, decoded."""
        return {str(name): str(value) for name, value in json.loads(self.info).items()}


@dataclass(frozen=True)
class Attributes:
    """What an upload, a started large file or a copy says about the file."""

    name: str
    content_type: str
    info: dict[str, str]
    encryption: dict[str, Any] | None = None
    retention: dict[str, Any] | None = None
    legal_hold: str | None = None
    custom_timestamp_ms: int | None = None


class Versions:
    """The store of all versions of all files."""

    def __init__(self, database: Database, bodies: Bodies, clock: Clock) -> None:
        self._database = database
        self._bodies = bodies
        self._clock = clock

    def get(self, file_id: str) -> Version:
        """A version by its ID; 400 for a malformed ID, 404 for one that is gone."""
        _bucket_id, seq, _uploaded_ms = parse_file_id(file_id)
        version = self.by_seq(seq)
        if version is None or version.file_id != file_id:
            raise not_found(f"file_state_deleted: {file_id}")
        return version

    def by_seq(self, seq: int) -> Version | None:
        """A version by its sequence number."""
        with self._database.lock:
            row = self._database.connection.execute(
                f"SELECT {COLUMNS} FROM files WHERE seq = ?", (seq,)
            ).fetchone()
        return None if row is None else Version(*row)

    def latest(self, bucket_id: str, name: str) -> Version | None:
        """The newest finished version of a name, a hide marker too."""
        with self._database.lock:
            row = self._database.connection.execute(
                f"SELECT {COLUMNS} FROM files WHERE bucket_id = ? AND name = ?"
                " AND action != 'start' ORDER BY minus_ms, minus_seq LIMIT 1",
                (bucket_id, name),
            ).fetchone()
        return None if row is None else Version(*row)

    def add(
        self,
        bucket: Bucket,
        attributes: Attributes,
        size: int,
        sha1: str,
        segments: list[Segment],
    ) -> Version:
        """Record a finished upload whose bytes lie in ``segments``."""
        with self._database.transaction():
            version = self.insert(bucket, attributes, "upload", size, sha1)
            self._bodies.set_segments(version.seq, WHOLE_FILE, segments)
        return version

    def insert(
        self, bucket: Bucket, attributes: Attributes, action: str, size: int, sha1: str | None
    ) -> Version:
        """Record a version without bytes (a started large file)."""
        check_name(attributes.name)
        encryption = attributes.encryption or (
            bucket.encryption if bucket.encryption["mode"] else None
        )
        info = checked_info(
            attributes.name,
            attributes.info,
            HEADER_BYTES_MAX_ENCRYPTED_OR_LOCKED
            if encryption or bucket.lock_enabled
            else HEADER_BYTES_MAX,
        )
        uploaded_ms = attributes.custom_timestamp_ms or self._clock.now_ms()
        return self._insert(
            bucket.bucket_id,
            attributes.name,
            uploaded_ms,
            action,
            size,
            sha1,
            _content_type(attributes.content_type),
            json.dumps(info),
            _json(encryption),
            _json(attributes.retention or self._default_retention(bucket, uploaded_ms)),
            attributes.legal_hold,
        )

    def hide(self, bucket_id: str, name: str, at_ms: int | None = None) -> Version:
        """b2_hide_file; 400 no_such_file or already_hidden."""
        check_name(name)
        with self._database.transaction():
            latest = self.latest(bucket_id, name)
            if latest is None:
                raise B2Error(400, "no_such_file", f"File not present: {name}")
            if latest.action == "hide":
                raise B2Error(400, "already_hidden", f"File already hidden: {name}")
            hidden_ms = self._clock.now_ms() if at_ms is None else at_ms
            return self._insert(
                bucket_id, name, hidden_ms, "hide", 0, None, "application/x-bz-hide-marker",
                "{}", None, None, None,
            )  # fmt: skip

    def delete(self, file_id: str, name: str, key: Key, bypass_governance: bool) -> Version:
        """b2_delete_file_version; 400 file_not_present, 401 access_denied under Object Lock."""
        with self._database.transaction():
            try:
                version = self.get(file_id)
            except B2Error as error:
                if error.status != 404:
                    raise
                raise file_not_present(f"File not present: {name} {file_id}") from error
            if version.name != name:
                raise file_not_present(f"File not present: {name} {file_id}")
            if self.is_locked(version):
                retention = json.loads(version.retention or "{}")
                may_bypass = (
                    retention.get("mode") == "governance"
                    and version.legal_hold != "on"
                    and bypass_governance
                    and "bypassGovernance" in key.capabilities
                )
                if not may_bypass:
                    raise B2Error(403, "access_denied", "the file version is locked")
            self.remove(version)
        return version

    def is_locked(self, version: Version) -> bool:
        """Whether Object Lock protects the version now."""
        if version.legal_hold == "on":
            return True
        retention = json.loads(version.retention or "{}")
        until_ms = retention.get("retainUntilTimestamp")
        return bool(retention.get("mode")) and (until_ms or 0) > self._clock.now_ms()

    def remove(self, version: Version) -> None:
        """Forget a version, its parts and its bytes."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM files WHERE seq = ?", (version.seq,))
            connection.execute("DELETE FROM parts WHERE file_seq = ?", (version.seq,))
            self._bodies.remove_file(version.seq)

    def set_field(self, seq: int, column: str, value: Any) -> None:
        """Change one column of a version."""
        with self._database.transaction() as connection:
            connection.execute(f"UPDATE files SET {column} = ? WHERE seq = ?", (value, seq))

    def _default_retention(self, bucket: Bucket, uploaded_ms: int) -> dict[str, Any] | None:
        period = bucket.default_retention.get("period")
        if not bucket.lock_enabled or not bucket.default_retention.get("mode") or not period:
            return None
        days = int(period["duration"]) * (365 if period["unit"] == "years" else 1)
        return {
            "mode": bucket.default_retention["mode"],
            "retainUntilTimestamp": uploaded_ms + days * DAY_MS,
        }

    def _insert(self, bucket_id: str, name: str, uploaded_ms: int, *values: Any) -> Version:
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO files (bucket_id, name, minus_ms, minus_seq, action, size, sha1,"
                " content_type, info, encryption, retention, legal_hold)"
                " VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (bucket_id, name, -uploaded_ms, *values),
            )
            seq = cursor.lastrowid
            if seq is None:
                raise LookupError("SQLite gave no row ID")
            connection.execute("UPDATE files SET minus_seq = ? WHERE seq = ?", (-seq, seq))
        return Version(seq, bucket_id, name, -uploaded_ms, *values)


@lru_cache(maxsize=1024)
def _day_and_time(epoch_seconds: int) -> str:
    return time.strftime("d%Y%m%d_m%H%M%S", time.gmtime(epoch_seconds))


def parse_file_id(file_id: str) -> tuple[str, int, int]:
    """The bucket ID, sequence number and upload time (ms) in a file ID; 400 if malformed."""
    match = _FILE_ID.match(file_id)
    if match is None:
        raise bad_request(f"Bad fileId: {file_id}")
    return match["bucket"], int(match["seq"], 16), int(match["ms"])


def check_lock_rights(key: Key, bucket: Bucket, attributes: Attributes) -> None:
    """Refuse a retention or legal hold that the bucket or the key doesn't allow."""
    mode = (attributes.retention or {}).get("mode")
    if mode not in (None, *RETENTION_MODES):
        raise bad_request(f"Invalid fileRetention mode: {mode}")
    for value, capability in (
        (mode, "writeFileRetentions"),
        (attributes.legal_hold, "writeFileLegalHolds"),
    ):
        if value is not None:
            require(key, capability, bucket.bucket_id, attributes.name)
            if not bucket.lock_enabled:
                raise bad_request("the bucket does not have file lock enabled")


def version_answer(version: Version, account_id: str, key: Key, api_version: int) -> dict[str, Any]:
    """A version as uploads, listings and b2_get_file_info show it."""
    may_read_retention = "readFileRetentions" in key.capabilities
    may_read_hold = "readFileLegalHolds" in key.capabilities
    retention = json.loads(version.retention) if version.retention else {"mode": None}
    finished = version.action == "upload"
    answer: dict[str, Any] = {
        "accountId": account_id,
        "action": version.action,
        "bucketId": version.bucket_id,
        "contentLength": version.size,
        "contentSha1": version.sha1,
        "contentType": version.content_type,
        "fileId": version.file_id,
        "fileInfo": json.loads(version.info),
        "fileName": version.name,
        "fileRetention": {
            "isClientAuthorizedToRead": may_read_retention,
            "value": {"retainUntilTimestamp": None, **retention} if may_read_retention else None,
        },
        "legalHold": {
            "isClientAuthorizedToRead": may_read_hold,
            "value": version.legal_hold if may_read_hold else None,
        },
        "replicationStatus": None,
        "serverSideEncryption": json.loads(version.encryption)
        if version.encryption
        else {"algorithm": None, "mode": None},
        "uploadTimestamp": version.uploaded_ms,
    }
    if finished:
        answer["contentMd5"] = None
    if api_version == 1:
        answer["size"] = version.size
    return answer


def _content_type(value: str) -> str:
    # b2/x-auto asks B2 to guess by the extension; no client under test depends on the guess.
    return "application/octet-stream" if value == "b2/x-auto" else value


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)
