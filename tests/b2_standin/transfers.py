# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""b2_upload_file, b2_upload_part and the downloads: the calls that move files' bytes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from email.message import Message
from typing import Any, Callable

from .accounts import Key, Token, require
from .bodies import CHUNK_BYTES, Segment, slice_segments
from .buckets import Bucket
from .copying import parse_range
from .errors import bad_auth_token, bad_request, not_found, unauthorized
from .large_files import Part, check_part_number, part_answer
from .names import INFO_AS_HEADER, check_name, decode, encode
from .service import Service
from .versions import Attributes, Version, check_lock_rights, version_answer
from .wire import Meter, RequestBody

_INFO_PREFIX = "x-bz-info-"
_SHA1_HEX = re.compile(r"[0-9a-fA-F]{40}\Z")
_SHA1_HEX_BYTES = 40
FILE_BYTES_MAX = 5_000_000_000  # documented: a file or a part has up to 5 billion bytes


@dataclass(frozen=True)
class Download:
    """What a download will send: status, headers and the slices of bodies."""

    status: int
    headers: dict[str, str]
    segments: list[Segment]


def upload_file(
    service: Service,
    token: Token,
    headers: Message[str, str],
    body: RequestBody,
    meter: Meter,
    api_version: int,
    bucket_id: str,
) -> dict[str, Any]:
    """b2_upload_file: the body becomes a new version, in the bucket of the URL and the token."""
    if token.bucket_id != bucket_id:
        raise bad_auth_token()
    bucket = service.buckets.get(bucket_id)
    attributes = _attributes(headers)
    check_name(attributes.name)
    require(token.key, "writeFiles", bucket_id, attributes.name)
    check_lock_rights(token.key, bucket, attributes)

    def record(size: int, sha1: str, segments: list[Segment]) -> Version:
        return service.versions.add(bucket, attributes, size, sha1, segments)

    version = _receive(service, headers, body, meter, record, is_file=True)
    return version_answer(version, service.accounts.account_id, token.key, api_version)


def upload_part(
    service: Service,
    token: Token,
    headers: Message[str, str],
    body: RequestBody,
    meter: Meter,
    file_id: str,
) -> dict[str, Any]:
    """b2_upload_part: the body becomes a part of the unfinished large file of URL and token."""
    number = headers.get("X-Bz-Part-Number", "")
    if not number.isdigit():
        raise bad_request("X-Bz-Part-Number is missing or not a number")
    check_part_number(int(number))
    version = None if token.file_seq is None else service.versions.by_seq(token.file_seq)
    if version is None:
        raise bad_request("No active upload for this URL")
    if version.file_id != file_id:
        raise bad_auth_token()
    service.large_files.unfinished(file_id)

    def record(size: int, sha1: str, segments: list[Segment]) -> Part:
        part = Part(int(number), size, sha1, service.clock.now_ms())
        service.large_files.add_part(file_id, part, segments)
        return part

    return part_answer(_receive(service, headers, body, meter, record, is_file=False), file_id)


def _receive(
    service: Service,
    headers: Message[str, str],
    body: RequestBody,
    meter: Meter,
    record: Callable[[int, str, list[Segment]], Any],
    is_file: bool,
) -> Any:
    """Write the request's body to disk in pieces, verify its SHA-1 and record it."""
    declared = headers.get("X-Bz-Content-Sha1")
    if declared is None:
        raise bad_request("Missing header: X-Bz-Content-Sha1")
    is_trailing = declared == "hex_digits_at_end"
    is_unverified = declared == "do_not_verify" and is_file
    if not is_trailing and not is_unverified:
        declared = declared.removeprefix("unverified:")
        if not _SHA1_HEX.match(declared):
            raise bad_request(f"Invalid X-Bz-Content-Sha1: {declared}")
    size = body.length - (_SHA1_HEX_BYTES if is_trailing else 0)
    if size < 0:
        raise bad_request("the body is shorter than the SHA-1 at its end")
    if size > FILE_BYTES_MAX:
        raise bad_request(f"the body is larger than {FILE_BYTES_MAX} bytes")
    name, stream = service.bodies.create()
    try:
        digest = hashlib.sha1()
        with stream:
            left = size
            while left:
                piece = body.read(min(CHUNK_BYTES, left), meter)
                left -= len(piece)
                digest.update(piece)
                stream.write(piece)
        if is_trailing:
            declared = _read_text(body)
        sha1 = digest.hexdigest()
        if not is_unverified and declared.lower() != sha1:
            raise bad_request(f"Sha1 did not match data received: {sha1}")
        segments = [Segment(name, 0, size)] if size else []
        result = record(size, f"unverified:{sha1}" if is_unverified else sha1, segments)
    except BaseException:
        service.bodies.discard([name])
        raise
    if not size:
        service.bodies.discard([name])
    return result


def _read_text(body: RequestBody) -> str:
    data = b""
    while body.left:
        data += body.read(_SHA1_HEX_BYTES)
    return data.decode("ascii", "replace")


def _attributes(headers: Message[str, str]) -> Attributes:
    encoded_name = headers.get("X-Bz-File-Name")
    if not encoded_name:
        raise bad_request("Missing header: X-Bz-File-Name")
    content_type = headers.get("Content-Type")
    if not content_type:
        raise bad_request("Missing header: Content-Type")
    if "X-Bz-Server-Side-Encryption-Customer-Algorithm" in headers:
        raise bad_request("SSE-C is not supported by this stand-in")
    algorithm = headers.get("X-Bz-Server-Side-Encryption")
    mode = headers.get("X-Bz-File-Retention-Mode")
    custom = headers.get("X-Bz-Custom-Upload-Timestamp")
    return Attributes(
        name=decode(encoded_name),
        content_type=content_type,
        info={
            header.lower()[len(_INFO_PREFIX) :]: decode(value)
            for header, value in headers.items()
            if header.lower().startswith(_INFO_PREFIX)
        },
        encryption={"mode": "SSE-B2", "algorithm": algorithm} if algorithm else None,
        retention=_retention(mode, headers.get("X-Bz-File-Retention-Retain-Until-Timestamp")),
        legal_hold=headers.get("X-Bz-File-Legal-Hold"),
        custom_timestamp_ms=_number("X-Bz-Custom-Upload-Timestamp", custom) if custom else None,
    )


def _retention(mode: str | None, until: str | None) -> dict[str, Any] | None:
    if not mode:
        return None
    until_ms = _number("X-Bz-File-Retention-Retain-Until-Timestamp", until or "")
    return {"mode": mode, "retainUntilTimestamp": until_ms}


def _number(header: str, text: str) -> int:
    if not text.isdigit():
        raise bad_request(f"{header} must be a number")
    return int(text)


def download_by_name(
    service: Service, authorization: str | None, bucket_name: str, name: str, range_: str | None
) -> Download:
    """b2_download_file_by_name: the current version, unless it is hidden."""
    bucket = service.buckets.by_name(bucket_name)
    if bucket is None:
        raise not_found(f"Bucket does not exist: {bucket_name}")
    key = _reader(service, authorization, bucket, name, "account", "download")
    check_name(name)  # B2 answers 400 for "folder/", as rclone knows
    version = service.versions.latest(bucket.bucket_id, name)
    if version is None or version.action != "upload":
        raise not_found(f"File with such name does not exist: {name}")
    return _download(service, version, key, range_)


def download_by_id(
    service: Service, authorization: str | None, file_id: str, range_: str | None
) -> Download:
    """b2_download_file_by_id: any finished version."""
    version = service.versions.get(file_id)
    bucket = service.buckets.get(version.bucket_id)
    # A token of b2_get_download_authorization is good for downloads by name only.
    key = _reader(service, authorization, bucket, version.name, "account")
    if version.action != "upload":
        raise not_found(f"not an uploaded file: {file_id}")
    return _download(service, version, key, range_)


def _reader(
    service: Service, authorization: str | None, bucket: Bucket, name: str, *kinds: str
) -> Key | None:
    """The key that may read the file, None for the public; raises 401 otherwise."""
    if bucket.type == "allPublic" and authorization is None:
        return None
    token = service.accounts.check_token(authorization, *kinds)
    if token.kind == "account":
        require(token.key, "readFiles", bucket.bucket_id, name)
    elif token.bucket_id != bucket.bucket_id or not name.startswith(token.name_prefix or ""):
        raise unauthorized("the download authorization is for other files")
    return token.key


def _download(service: Service, version: Version, key: Key | None, range_: str | None) -> Download:
    segments = service.bodies.segments(version.seq)
    if not all(service.bodies.path(segment.body).exists() for segment in segments):
        raise not_found(f"the bytes of {version.file_id} are lost")
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": version.content_type or "application/octet-stream",
        "X-Bz-Content-Sha1": version.sha1 or "none",
        "X-Bz-File-Id": version.file_id,
        "X-Bz-File-Name": encode(version.name),
        "X-Bz-Upload-Timestamp": str(version.uploaded_ms),
    }
    if version.encryption:
        headers["X-Bz-Server-Side-Encryption"] = "AES256"
    for name, value in version.info_map().items():
        header = INFO_AS_HEADER.get(name)
        headers[header or f"X-Bz-Info-{name}"] = value if header else encode(value)
    headers.update(_lock_headers(version, key))
    if range_ is None:
        headers["Content-Length"] = str(version.size)
        return Download(200, headers, segments)
    start, length = parse_range(range_, version.size)
    headers["Content-Length"] = str(length)
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{version.size}"
    return Download(206, headers, slice_segments(segments, start, length))


def _lock_headers(version: Version, key: Key | None) -> dict[str, str]:
    """The Object Lock of a version, as far as the key may read it."""
    retention = json.loads(version.retention or "{}")
    values = {
        "X-Bz-File-Retention-Mode": (retention.get("mode"), "readFileRetentions"),
        "X-Bz-File-Retention-Retain-Until-Timestamp": (
            retention.get("retainUntilTimestamp"),
            "readFileRetentions",
        ),
        "X-Bz-File-Legal-Hold": (version.legal_hold, "readFileLegalHolds"),
    }
    capabilities = () if key is None else key.capabilities
    headers = {
        header: str(value)
        for header, (value, capability) in values.items()
        if value and capability in capabilities
    }
    hidden = [
        name for name, (value, _capability) in values.items() if value and name not in headers
    ]
    if hidden:
        headers["X-Bz-Client-Unauthorized-To-Read"] = ",".join(hidden)
    return headers
