# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account, its application keys and the tokens they are exchanged for."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from .clock import Clock
from .database import Database
from .errors import B2Error, bad_auth_token, bad_request, expired_auth_token, unauthorized

# b2_create_key's documented list.
ALL_CAPABILITIES = (
    "listKeys", "writeKeys", "deleteKeys", "listAllBucketNames", "listBuckets", "readBuckets",
    "writeBuckets", "deleteBuckets", "readBucketRetentions", "writeBucketRetentions",
    "readBucketEncryption", "writeBucketEncryption", "readBucketNotifications",
    "writeBucketNotifications", "readBucketReplications", "writeBucketReplications",
    "readBucketLogging", "writeBucketLogging", "listFiles", "readFiles", "shareFiles",
    "writeFiles", "deleteFiles", "readFileLegalHolds", "writeFileLegalHolds",
    "readFileRetentions", "writeFileRetentions", "bypassGovernance",
)  # fmt: skip
# Documented: what a key that is restricted to buckets can't be given.
_ACCOUNT_CAPABILITIES = ("listKeys", "writeKeys", "deleteKeys", "writeBuckets", "deleteBuckets")
BUCKET_CAPABILITIES = tuple(name for name in ALL_CAPABILITIES if name not in _ACCOUNT_CAPABILITIES)
TOKEN_VALID_SECONDS = 24 * 3600  # documented: tokens are valid for at most 24 hours
KEY_VALID_SECONDS_MAX = 1000 * 24 * 3600  # documented: less than 1000 days
_KEY_NAME = re.compile(r"[A-Za-z0-9-]{1,100}\Z")


@dataclass(frozen=True)
class Key:
    """An application key; times in milliseconds since the epoch."""

    key_id: str
    secret: str
    name: str
    capabilities: tuple[str, ...]
    bucket_ids: tuple[str, ...] | None
    name_prefix: str | None
    expires_ms: int | None
    is_master: bool


@dataclass(frozen=True)
class Token:
    """What a token was issued for: kind account, upload, part or download."""

    key: Key
    kind: str
    bucket_id: str | None
    file_seq: int | None
    name_prefix: str | None


class Accounts:
    """One account with a master key, and the keys made from it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        account_id = database.setting("account_id")
        if account_id is None:
            account_id = secrets.token_hex(6)
            database.set_setting("account_id", account_id)
            self.store(
                Key(account_id, _new_secret(), "master", ALL_CAPABILITIES, None, None, None, True)
            )
        self.account_id = account_id

    def master(self) -> Key:
        """The master key; its ID is the account's."""
        key = self.find(self.account_id)
        if key is None:
            raise LookupError("the database has no master key")
        return key

    def find(self, key_id: str) -> Key | None:
        """A key by its ID, expired or not."""
        with self._database.lock:
            row = self._database.connection.execute(
                "SELECT * FROM keys WHERE key_id = ?", (key_id,)
            ).fetchone()
        return None if row is None else _key(row)

    def log_in(self, key_id: str, secret: str) -> tuple[Key, str]:
        """Exchange a key for an account token; 401 unauthorized for anything else."""
        key = self.find(key_id)
        if key is None or key.secret != secret or self._is_expired(key):
            raise unauthorized("")
        return key, self.issue(key, "account")

    def issue(
        self,
        key: Key,
        kind: str,
        bucket_id: str | None = None,
        file_seq: int | None = None,
        name_prefix: str | None = None,
        valid_seconds: int = TOKEN_VALID_SECONDS,
    ) -> str:
        """Make a token of a kind, valid for so many seconds and never longer than its key."""
        token = f"4_{key.key_id}_{secrets.token_hex(16)}_{kind}"
        expires_ms = self._clock.now_ms() + valid_seconds * 1000
        if key.expires_ms is not None:
            expires_ms = min(expires_ms, key.expires_ms)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)",
                (token, key.key_id, kind, expires_ms, bucket_id, file_seq, name_prefix),
            )
        return token

    def check_token(self, token: str | None, *kinds: str) -> Token:
        """The token's grant; 401 if it is missing, unknown, expired, revoked or of another kind."""
        if not token:
            raise unauthorized("Authorization header is missing")
        with self._database.lock:
            row = self._database.connection.execute(
                "SELECT key_id, kind, expires_ms, bucket_id, file_seq, name_prefix FROM tokens"
                " WHERE token = ?",
                (token,),
            ).fetchone()
            key = None if row is None else self.find(row[0])
        if row is None or key is None or row[1] not in kinds:
            raise bad_auth_token()
        if row[2] <= self._clock.now_ms():
            raise expired_auth_token()
        return Token(key, row[1], row[3], row[4], row[5])

    def token_key_id(self, token: str | None) -> str | None:
        """The key a token was issued for, whatever has become of the token since."""
        parts = (token or "").split("_")
        return parts[1] if len(parts) == 4 else None

    def expire_tokens(self) -> int:
        """Let every token issued so far expire now; returns how many."""
        with self._database.transaction() as connection:
            return connection.execute("UPDATE tokens SET expires_ms = 0").rowcount

    def create(
        self,
        name: str,
        capabilities: list[str],
        bucket_ids: list[str] | None,
        name_prefix: str | None,
        valid_seconds: int | None,
    ) -> Key:
        """Make a key; 400 for a capability it can't have, an illegal name or duration."""
        if not _KEY_NAME.match(name):
            raise bad_request(f"illegal key name: {name}")
        if not capabilities:
            raise bad_request("capabilities must not be empty")
        for capability in capabilities:
            if capability not in ALL_CAPABILITIES:
                raise bad_request(f"unknown capability: {capability}")
            if bucket_ids is not None and capability not in BUCKET_CAPABILITIES:
                raise bad_request(f"a key restricted to buckets can't have {capability}")
        if valid_seconds is not None and not 0 < valid_seconds < KEY_VALID_SECONDS_MAX:
            raise bad_request("validDurationInSeconds must be between 1 and 86400000")
        with self._database.transaction():
            number = int(self._database.setting("key_counter") or "0") + 1
            self._database.set_setting("key_counter", str(number))
            key = Key(
                f"002{self.account_id}{number:010d}",
                _new_secret(),
                name,
                tuple(capabilities),
                None if bucket_ids is None else tuple(bucket_ids),
                name_prefix,
                None if valid_seconds is None else self._clock.now_ms() + valid_seconds * 1000,
                False,
            )
            self.store(key)
        return key

    def delete(self, key_id: str) -> Key:
        """Revoke a key and with it all its tokens; 400 if there is no such key."""
        key = self.find(key_id)
        if key is None or key.is_master:
            raise bad_request(f"application key does not exist: {key_id}")
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM keys WHERE key_id = ?", (key_id,))
            connection.execute("DELETE FROM tokens WHERE key_id = ?", (key_id,))
        return key

    def list(self, start_key_id: str | None, count: int) -> tuple[list[Key], str | None]:
        """A page of unexpired keys other than the master key, and where the next page starts."""
        with self._database.lock:
            rows = self._database.connection.execute(
                "SELECT * FROM keys WHERE is_master = 0 AND key_id >= ?"
                " AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY key_id LIMIT ?",
                (start_key_id or "", self._clock.now_ms(), count + 1),
            ).fetchall()
        keys = [_key(row) for row in rows]
        return keys[:count], keys[count].key_id if len(keys) > count else None

    def _is_expired(self, key: Key) -> bool:
        return key.expires_ms is not None and key.expires_ms <= self._clock.now_ms()

    def store(self, key: Key) -> None:
        """Record a key."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.key_id,
                    key.secret,
                    key.name,
                    json.dumps(key.capabilities),
                    None if key.bucket_ids is None else json.dumps(key.bucket_ids),
                    key.name_prefix,
                    key.expires_ms,
                    int(key.is_master),
                ),
            )


def require(
    key: Key, capability: str, bucket_id: str | None = None, file_name: str | None = None
) -> None:
    """Raise 401 unauthorized unless the key has the capability, here, for this file name.

    ``file_name`` is a file's name or the prefix of a listing: it must lie under the key's prefix.
    """
    if capability not in key.capabilities:
        raise unauthorized(f"not entitled: the key lacks {capability}")
    if key.bucket_ids is not None and bucket_id is not None and bucket_id not in key.bucket_ids:
        raise unauthorized("not entitled: the key is restricted to another bucket")
    if (
        key.name_prefix is not None
        and file_name is not None
        and not file_name.startswith(key.name_prefix)
    ):
        raise unauthorized("not entitled: the name is outside the key's prefix")


def key_answer(key: Key, account_id: str, version: int) -> dict[str, Any]:
    """A key as b2_list_keys shows it (v4 knows several buckets a key, earlier versions one)."""
    if version < 4 and key.bucket_ids is not None and len(key.bucket_ids) > 1:
        raise B2Error(401, "unsupported", "a key with several buckets needs API version 4")
    answer: dict[str, Any] = {
        "accountId": account_id,
        "applicationKeyId": key.key_id,
        "capabilities": list(key.capabilities),
        "expirationTimestamp": key.expires_ms,
        "keyName": key.name,
        "namePrefix": key.name_prefix,
        "options": ["s3"],
    }
    if version >= 4:
        answer["bucketIds"] = None if key.bucket_ids is None else list(key.bucket_ids)
    else:
        answer["bucketId"] = key.bucket_ids[0] if key.bucket_ids else None
    return answer


def _key(row: tuple[Any, ...]) -> Key:
    buckets = None if row[4] is None else tuple(json.loads(row[4]))
    return Key(
        row[0], row[1], row[2], tuple(json.loads(row[3])), buckets, row[5], row[6], bool(row[7])
    )


def _new_secret() -> str:
    # 31 characters beginning with "K", as Backblaze's own; hexadecimal needs no quoting anywhere.
    return f"K002{secrets.token_hex(14)}"[:31]
