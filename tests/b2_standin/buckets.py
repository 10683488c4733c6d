# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets and their settings: lifecycle rules, default encryption, Object Lock."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any

from .accounts import Key
from .database import Database
from .errors import B2Error, bad_bucket_id, bad_request
from .params import Params

BUCKETS_MAX = 100
LIFECYCLE_RULES_MAX = 100  # documented: up to 100 rules a bucket
RETENTION_MODES = ("governance", "compliance")
_NAME = re.compile(r"[A-Za-z0-9-]{6,63}\Z")
_TYPES = ("allPrivate", "allPublic")
_RULE_DAYS = (
    "daysFromHidingToDeleting",
    "daysFromUploadingToHiding",
    "daysFromStartingToCancelingUnfinishedLargeFiles",
)
_NO_ENCRYPTION: dict[str, Any] = {"algorithm": None, "mode": None}
_NO_RETENTION: dict[str, Any] = {"mode": None, "period": None}


@dataclass(frozen=True)
class Bucket:
    """A bucket as stored; ``revision`` grows with every update."""

    bucket_id: str
    name: str
    type: str
    info: dict[str, str]
    cors_rules: list[Any]
    lifecycle_rules: list[dict[str, Any]]
    encryption: dict[str, Any]
    lock_enabled: bool
    default_retention: dict[str, Any]
    revision: int


class Buckets:
    """The account's buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, bucket_id: str) -> Bucket:
        """A bucket by its ID; 400 bad_bucket_id if there is none."""
        found = self._select("WHERE bucket_id = ?", bucket_id)
        if not found:
            raise bad_bucket_id(bucket_id)
        return found[0]

    def by_name(self, name: str) -> Bucket | None:
        """A bucket by its name."""
        found = self._select("WHERE name = ?", name)
        return found[0] if found else None

    def all(self) -> list[Bucket]:
        """All buckets, by name."""
        return self._select("")

    def create(self, params: Params) -> Bucket:
        """b2_create_bucket."""
        name = params.text("bucketName")
        if not _NAME.match(name) or name.lower().startswith("b2-"):
            raise bad_request(f"Invalid bucketName: {name}")
        bucket = Bucket(
            bucket_id=secrets.token_hex(12),
            name=name,
            type=_bucket_type(params.text("bucketType")),
            info=params.optional_text_map("bucketInfo") or {},
            cors_rules=params.optional_list("corsRules") or [],
            lifecycle_rules=_lifecycle_rules(params.optional_list("lifecycleRules") or []),
            encryption=_encryption(params.optional_object("defaultServerSideEncryption")),
            lock_enabled=bool(params.optional_flag("fileLockEnabled")),
            default_retention=_NO_RETENTION,
            revision=2,
        )
        with self._database.transaction():
            existing = self.all()
            if any(other.name.lower() == name.lower() for other in existing):
                raise B2Error(400, "duplicate_bucket_name", "Bucket name is already in use.")
            if len(existing) >= BUCKETS_MAX:
                raise B2Error(400, "too_many_buckets", f"there are {BUCKETS_MAX} buckets already")
            self._store(bucket)
        return bucket

    def update(self, params: Params) -> Bucket:
        """b2_update_bucket: changes what is given, keeps the rest."""
        with self._database.transaction():
            bucket = self.get(params.text("bucketId"))
            expected = params.optional_number("ifRevisionIs")
            if expected is not None and expected != bucket.revision:
                raise B2Error(409, "conflict", f"revision is {bucket.revision}, not {expected}")
            changes: dict[str, Any] = {"revision": bucket.revision + 1}
            if params.has("bucketType"):
                changes["type"] = _bucket_type(params.text("bucketType"))
            if params.has("bucketInfo"):
                changes["info"] = params.optional_text_map("bucketInfo")
            if params.has("corsRules"):
                changes["cors_rules"] = params.optional_list("corsRules")
            rules = params.optional_list("lifecycleRules")
            if rules is not None:
                changes["lifecycle_rules"] = _lifecycle_rules(rules)
            if params.has("defaultServerSideEncryption"):
                changes["encryption"] = _encryption(
                    params.optional_object("defaultServerSideEncryption")
                )
            lock = params.optional_flag("fileLockEnabled")
            if lock is False and bucket.lock_enabled:
                raise bad_request(
                    "fileLockEnabled value of false is not allowed when bucket is already file"
                    " lock enabled."
                )
            if lock:
                changes["lock_enabled"] = True
            retention = params.optional_object("defaultRetention")
            if retention is not None:
                if not (bucket.lock_enabled or lock):
                    raise bad_request("defaultRetention needs a bucket with file lock enabled")
                changes["default_retention"] = _default_retention(retention)
            bucket = replace(bucket, **changes)
            self._store(bucket)
        return bucket

    def delete(self, bucket_id: str) -> Bucket:
        """b2_delete_bucket: only an empty one."""
        with self._database.transaction() as connection:
            bucket = self.get(bucket_id)
            if connection.execute(
                "SELECT 1 FROM files WHERE bucket_id = ? LIMIT 1", (bucket_id,)
            ).fetchone():
                raise B2Error(
                    400, "cannot_delete_non_empty_bucket", "Cannot delete non-empty bucket"
                )
            connection.execute("DELETE FROM buckets WHERE bucket_id = ?", (bucket_id,))
        return bucket

    def _select(self, where: str, *values: str) -> list[Bucket]:
        with self._database.lock:
            rows = self._database.connection.execute(
                f"SELECT * FROM buckets {where} ORDER BY name", values
            ).fetchall()
        return [
            Bucket(
                row[0],
                row[1],
                row[2],
                json.loads(row[3]),
                json.loads(row[4]),
                json.loads(row[5]),
                json.loads(row[6]),
                bool(row[7]),
                json.loads(row[8]),
                row[9],
            )
            for row in rows
        ]

    def _store(self, bucket: Bucket) -> None:
        self._database.connection.execute(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bucket.bucket_id,
                bucket.name,
                bucket.type,
                json.dumps(bucket.info),
                json.dumps(bucket.cors_rules),
                json.dumps(bucket.lifecycle_rules),
                json.dumps(bucket.encryption),
                int(bucket.lock_enabled),
                json.dumps(bucket.default_retention),
                bucket.revision,
            ),
        )


def bucket_answer(bucket: Bucket, account_id: str, key: Key) -> dict[str, Any]:
    """A bucket as the API shows it to a key; some settings need a capability to be read."""
    may_read_encryption = "readBucketEncryption" in key.capabilities
    may_read_lock = "readBucketRetentions" in key.capabilities
    lock = {
        "defaultRetention": bucket.default_retention,
        "isFileLockEnabled": bucket.lock_enabled,
    }
    return {
        "accountId": account_id,
        "bucketId": bucket.bucket_id,
        "bucketInfo": bucket.info,
        "bucketName": bucket.name,
        "bucketType": bucket.type,
        "corsRules": bucket.cors_rules,
        "defaultServerSideEncryption": {
            "isClientAuthorizedToRead": may_read_encryption,
            "value": bucket.encryption if may_read_encryption else None,
        },
        "fileLockConfiguration": {
            "isClientAuthorizedToRead": may_read_lock,
            "value": lock if may_read_lock else None,
        },
        "lifecycleRules": bucket.lifecycle_rules,
        "options": ["s3"],
        "replicationConfiguration": {"isClientAuthorizedToRead": True, "value": None},
        "revision": bucket.revision,
    }


def _bucket_type(value: str) -> str:
    if value not in _TYPES:
        raise bad_request(f"Invalid bucketType: {value}")
    return value


def _encryption(value: dict[str, Any] | None) -> dict[str, Any]:
    if value is None or value.get("mode") in (None, "none"):
        return _NO_ENCRYPTION
    if value != {"mode": "SSE-B2", "algorithm": "AES256"}:
        raise bad_request("defaultServerSideEncryption must be none or SSE-B2 with AES256")
    return value


def _default_retention(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("mode") is None:
        return _NO_RETENTION
    if value["mode"] not in RETENTION_MODES:
        raise bad_request(f"Invalid defaultRetention mode: {value['mode']}")
    period = value.get("period")
    if not isinstance(period, dict) or period.get("unit") not in ("days", "years"):
        raise bad_request("defaultRetention needs a period in days or years")
    duration = period.get("duration")
    if isinstance(duration, bool) or not isinstance(duration, int) or duration < 1:
        raise bad_request("the duration of a defaultRetention must be positive")
    return {"mode": value["mode"], "period": {"duration": duration, "unit": period["unit"]}}


def _lifecycle_rules(rules: list[Any]) -> list[dict[str, Any]]:
    if len(rules) > LIFECYCLE_RULES_MAX:
        raise bad_request(f"more than {LIFECYCLE_RULES_MAX} lifecycle rules")
    result = []
    for rule in rules:
        if not isinstance(rule, dict) or not isinstance(rule.get("fileNamePrefix"), str):
            raise bad_request("a lifecycle rule needs a fileNamePrefix")
        unknown = set(rule) - {"fileNamePrefix", *_RULE_DAYS}
        if unknown:
            raise bad_request(f"unknown field in lifecycle rule: {min(unknown)}")
        for field in _RULE_DAYS:
            days = rule.get(field)
            if days is not None and (isinstance(days, bool) or not isinstance(days, int)):
                raise bad_request(f"{field} must be an integer")
            if days is not None and days < 1:
                raise bad_request(f"{field} must be positive")
        if all(rule.get(field) is None for field in _RULE_DAYS):
            raise bad_request(
                f"Rule with prefix '{rule['fileNamePrefix']}' must have at least one additional"
                " property defined"
            )
        result.append({**dict.fromkeys(_RULE_DAYS), **rule})
    prefixes = sorted(rule["fileNamePrefix"] for rule in result)
    for shorter, longer in zip(prefixes, prefixes[1:]):
        if longer.startswith(shorter):
            raise bad_request(
                f"lifecycle rules apply to the same files: prefixes {shorter!r} and {longer!r}"
            )
    return result
