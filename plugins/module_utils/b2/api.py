# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few calls of B2's native API that rclone has no safe command for.

What a key may do, whether the bucket is there, and the large files that a killed upload left
unfinished: they hide the good version of a file from ``--b2-version-at`` and are cancelled here.
Specification: https://www.backblaze.com/apidocs
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .errors import B2BadKey, B2Denied, B2Error, B2Unreachable, B2WrongBucket, error_of_answer

DEFAULT_ENDPOINT = "https://api.backblazeb2.com"
API_VERSION = "v4"

TIMEOUT_SECONDS = 30.0
ATTEMPTS = 5
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_LIMIT_SECONDS = 60.0

# A listing call is billed once per 1,000 names; unfinished files come in pages of at most 100.
NAMES_PER_CALL = 1000
UNFINISHED_PER_CALL = 100

# An answer with 1,000 names is about 0.7 MB. More than this is not B2.
ANSWER_BYTES_MAX = 16 * 1024**2

HTTP_BAD_REQUEST = 400
_RETRIED_STATUS = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Authorization:
    """What B2 says of a key.

    *buckets* maps the names of the buckets that the key is restricted to to their IDs, and is
    None for a key that is not restricted. A bucket that was deleted has no name and is left out.
    *clock_skew_seconds* is how far B2's clock is ahead of this machine's (None: not told), to
    about a second. *expires_at* is when the key expires, in seconds since 1970 (None: never).
    """

    account_id: str
    api_url: str
    download_url: str
    capabilities: Tuple[str, ...]
    buckets: Optional[Mapping[str, str]]
    name_prefix: str
    clock_skew_seconds: Optional[float]
    expires_at: Optional[float]
    token: str = field(repr=False)


@dataclass(frozen=True)
class FileVersion:
    """One entry of a listing; *action* is upload, hide, start or folder; time in milliseconds."""

    name: str
    file_id: str
    action: str
    bytes: int
    uploaded_ms: int


class B2Client:
    """Calls B2 with one application key. Not thread-safe.

    Connection errors, 408, 429 and 5xx are tried again, *attempts* times in all, with a growing
    pause or the one that ``Retry-After`` names. An expired token is renewed. *on_call* hears the
    name of every call, repeated ones included. Every method raises a :class:`B2Error` whose text
    names what to mend and holds no secret.
    """

    def __init__(
        self,
        key_id: str,
        key: str,
        endpoint: str = "",
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        on_call: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.key_id = key_id
        self.endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        self.timeout_seconds = timeout_seconds
        self.attempts = attempts
        self._key = key
        self._sleep = sleep
        self._clock = clock
        self._on_call = on_call
        # How far B2's clock was ahead in its newest answer, in seconds; None: not told.
        self.clock_skew_seconds: Optional[float] = None
        self._authorization: Optional[Authorization] = None
        # Without the handler that follows redirects: B2 has none, and one would carry the token
        # to another host. Proxies are taken from the environment, as rclone does.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def __repr__(self) -> str:
        return f"B2Client(key_id={self.key_id!r}, endpoint={self.endpoint!r})"

    @property
    def authorization(self) -> Authorization:
        """What the key may do; asks B2 the first time."""
        if self._authorization is None:
            return self.authorize()
        return self._authorization

    def authorize(self) -> Authorization:
        """Exchange the key for a token (b2_authorize_account)."""
        pair = f"{self.key_id}:{self._key}".encode()
        request = urllib.request.Request(
            f"{self.endpoint}/b2api/{API_VERSION}/b2_authorize_account",
            headers={"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")},
        )
        try:
            answer = self._send("b2_authorize_account", request)
        except B2Denied as error:
            raise B2BadKey(self.key_id, error.status, error.code) from error
        self._authorization = _read_authorization(answer, self.clock_skew_seconds, self.endpoint)
        return self._authorization

    def bucket_id(self, bucket: str) -> str:
        """The ID of a bucket; :class:`B2WrongBucket` when this key can use none of that name."""
        allowed = self.authorization
        if allowed.buckets is not None:
            if bucket not in allowed.buckets:
                only = ", ".join(f"'{name}'" for name in sorted(allowed.buckets)) or "a deleted one"
                raise B2WrongBucket(bucket, f"the key is restricted to {only}")
            return allowed.buckets[bucket]
        answer = self.call(
            "b2_list_buckets", {"accountId": allowed.account_id, "bucketName": bucket}
        )
        for found in answer.get("buckets", []):
            if found.get("bucketName") == bucket:
                return str(found["bucketId"])
        raise B2WrongBucket(bucket, "the account has no bucket of that name")

    def list_file_names(
        self, bucket: str, prefix: str = "", *, count_max: Optional[int] = None
    ) -> Iterator[FileVersion]:
        """The current, visible files whose names start with *prefix*, page by page."""
        yield from self._pages(
            "b2_list_file_names",
            {"bucketId": self.bucket_id(bucket), "prefix": prefix, "maxFileCount": NAMES_PER_CALL},
            {"nextFileName": "startFileName"},
            count_max,
        )

    def list_file_versions(self, bucket: str, prefix: str = "") -> Iterator[FileVersion]:
        """All versions, hide markers and unfinished files, the newest of a name first."""
        yield from self._pages(
            "b2_list_file_versions",
            {"bucketId": self.bucket_id(bucket), "prefix": prefix, "maxFileCount": NAMES_PER_CALL},
            {"nextFileName": "startFileName", "nextFileId": "startFileId"},
        )

    def list_unfinished_large_files(self, bucket: str, prefix: str = "") -> Iterator[FileVersion]:
        """The large files below *prefix* whose upload was never finished."""
        yield from self._pages(
            "b2_list_unfinished_large_files",
            {
                "bucketId": self.bucket_id(bucket),
                "namePrefix": prefix,
                "maxFileCount": UNFINISHED_PER_CALL,
            },
            {"nextFileId": "startFileId"},
        )

    def hide_file(self, bucket: str, name: str) -> None:
        """Hide a file; its versions stay for as long as the lifecycle rule says."""
        self.call("b2_hide_file", {"bucketId": self.bucket_id(bucket), "fileName": name})

    def cancel_large_file(self, file_id: str) -> None:
        """Cancel an unfinished large file and free its parts (needs writeFiles)."""
        self.call("b2_cancel_large_file", {"fileId": file_id})

    def cancel_unfinished(self, bucket: str, prefix: str) -> List[str]:
        """Cancel every unfinished large file below *prefix*; return their (encrypted) names.

        Only while nothing is uploading below *prefix*: the run's lock sees to that. A restricted
        key may only ask below its own prefix, so *prefix* carries the slash at its end.
        """
        # Listed to the end first: cancelling while listing would shift the pages.
        unfinished = list(self.list_unfinished_large_files(bucket, prefix))
        refused: Dict[str, B2Error] = {}
        for version in unfinished:
            try:
                self.cancel_large_file(version.file_id)
            except B2Error as error:
                if error.status != HTTP_BAD_REQUEST:
                    raise
                # B2 answers so when it is gone: a first answer was lost, or a lifecycle rule
                # was quicker. The code is the one of every bad request: the list tells.
                refused[version.file_id] = error
        if refused:
            for version in self.list_unfinished_large_files(bucket, prefix):
                if version.file_id in refused:
                    raise refused[version.file_id]
        return [version.name for version in unfinished]

    def call(self, name: str, parameters: Mapping[str, Any]) -> Dict[str, Any]:
        """Make one call with JSON in and out, renewing an expired token once."""
        body = json.dumps(dict(parameters)).encode("utf-8")
        for renewed in (False, True):
            allowed = self.authorization
            request = urllib.request.Request(
                f"{allowed.api_url}/b2api/{API_VERSION}/{name}",
                data=body,
                headers={"Authorization": allowed.token, "Content-Type": "application/json"},
            )
            try:
                return self._send(name, request)
            except B2Denied as error:
                if renewed or error.code not in ("expired_auth_token", "bad_auth_token"):
                    raise
                # A revoked key shows here: authorize() then raises B2BadKey.
                self.authorize()
        raise AssertionError("unreachable: the second round returns or raises")

    def _pages(
        self,
        name: str,
        parameters: Dict[str, Any],
        next_keys: Mapping[str, str],
        count_max: Optional[int] = None,
    ) -> Iterator[FileVersion]:
        given = 0
        if count_max is not None:
            parameters["maxFileCount"] = min(count_max, NAMES_PER_CALL)
        while True:
            answer = self.call(name, parameters)
            for raw in answer.get("files", []):
                yield _read_version(raw)
                given += 1
                if given == count_max:
                    return
            if all(answer.get(key) is None for key in next_keys):
                return
            for key, parameter in next_keys.items():
                parameters[parameter] = answer.get(key)

    def _send(self, name: str, request: urllib.request.Request) -> Dict[str, Any]:
        """One call with its retries; the answer's JSON."""
        pause_seconds = BACKOFF_FIRST_SECONDS
        for attempt in range(1, self.attempts + 1):
            try:
                return self._send_once(name, request)
            except B2Error as error:
                if attempt == self.attempts or not error.is_retryable:
                    raise
                wait_seconds = error.retry_after_seconds
            if wait_seconds is None:
                wait_seconds = pause_seconds
                pause_seconds *= 2
            self._sleep(min(wait_seconds, BACKOFF_LIMIT_SECONDS))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send_once(self, name: str, request: urllib.request.Request) -> Dict[str, Any]:
        asked_at = self._clock()
        if self._on_call is not None:
            self._on_call(name)
        # "from None" below: the original exceptions may carry the request and its headers.
        try:
            with self._opener.open(request, timeout=self.timeout_seconds) as response:
                raw = response.read(ANSWER_BYTES_MAX)
                headers = response.headers
        except urllib.error.HTTPError as error:
            with error:
                answer = _json_object(error.read(ANSWER_BYTES_MAX))
                retry_after = _seconds(error.headers.get("Retry-After"))
            raise error_of_answer(
                name, error.code, answer, error.code in _RETRIED_STATUS, retry_after
            ) from None
        except urllib.error.URLError as error:
            raise B2Unreachable(self._host(request), error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise B2Unreachable(self._host(request), error) from None
        answer = _json_object(raw)
        if answer is None:
            raise B2Unreachable(self._host(request), "the answer is not B2's JSON")
        self.clock_skew_seconds = _clock_skew(headers.get("Date"), (asked_at + self._clock()) / 2)
        return answer

    @staticmethod
    def _host(request: urllib.request.Request) -> str:
        return f"{request.type}://{request.host}"


def _read_authorization(
    answer: Mapping[str, Any], skew_seconds: Optional[float], endpoint: str
) -> Authorization:
    try:
        storage = answer["apiInfo"]["storageApi"]
        allowed = storage["allowed"]
        buckets = allowed.get("buckets")
        expires_ms = answer.get("applicationKeyExpirationTimestamp")
        return Authorization(
            account_id=answer["accountId"],
            token=answer["authorizationToken"],
            api_url=storage["apiUrl"].rstrip("/"),
            download_url=storage["downloadUrl"].rstrip("/"),
            capabilities=tuple(allowed["capabilities"]),
            buckets=(
                None
                if not buckets
                else {item["name"]: item["id"] for item in buckets if item.get("name")}
            ),
            name_prefix=allowed.get("namePrefix") or "",
            clock_skew_seconds=skew_seconds,
            expires_at=None if expires_ms is None else expires_ms / 1000,
        )
    except (KeyError, TypeError, AttributeError):
        raise B2Unreachable(endpoint, "the answer is not that of a B2 server") from None


def _read_version(raw: Mapping[str, Any]) -> FileVersion:
    return FileVersion(
        name=raw["fileName"],
        file_id=raw.get("fileId") or "",
        action=raw.get("action") or "",
        bytes=raw.get("contentLength") or 0,
        uploaded_ms=raw.get("uploadTimestamp") or 0,
    )


def _json_object(raw: bytes) -> Optional[Dict[str, Any]]:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _seconds(text: Optional[str]) -> Optional[float]:
    """Retry-After in seconds; None when it is missing or a date (B2 sends seconds)."""
    return float(text) if text is not None and text.strip().isdigit() else None


def _clock_skew(date: Optional[str], here: float) -> Optional[float]:
    if date is None:
        return None
    try:
        # The header drops the fraction of the second: half of one is right on average.
        return email.utils.parsedate_to_datetime(date).timestamp() + 0.5 - here
    except (TypeError, ValueError):
        return None
