# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that take JSON and answer JSON."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import listing
from .accounts import Key, key_answer, require
from .buckets import bucket_answer
from .errors import B2Error, bad_request, unauthorized
from .large_files import (
    PART_BYTES_MIN,
    RECOMMENDED_PART_BYTES,
    check_part_number,
    part_answer,
)
from .params import Params
from .service import Service
from .stats import FILES_PER_BILLED_LISTING
from .versions import Attributes, Version, parse_file_id, version_answer

LISTING_COUNT_DEFAULT = 100
LISTING_COUNT_MAX = 10_000
DOWNLOAD_TOKEN_SECONDS_MAX = 604_800


@dataclass
class Call:
    """One call: who asks, in which version of the API, with what."""

    name: str
    api_version: int
    params: Params
    authorization: str | None
    base_url: str
    billed: int = 1  # transactions: a listing counts once per 1000 files


class Api:
    """Dispatches calls by name."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._handlers: dict[str, Callable[[Call, Key], dict[str, Any]]] = {
            "b2_cancel_large_file": self._cancel_large_file,
            "b2_copy_file": self._copy_file,
            "b2_copy_part": self._copy_part,
            "b2_create_bucket": self._create_bucket,
            "b2_create_key": self._create_key,
            "b2_delete_bucket": self._delete_bucket,
            "b2_delete_file_version": self._delete_file_version,
            "b2_delete_key": self._delete_key,
            "b2_finish_large_file": self._finish_large_file,
            "b2_get_download_authorization": self._get_download_authorization,
            "b2_get_file_info": self._get_file_info,
            "b2_get_upload_part_url": self._get_upload_part_url,
            "b2_get_upload_url": self._get_upload_url,
            "b2_hide_file": self._hide_file,
            "b2_list_buckets": self._list_buckets,
            "b2_list_file_names": self._list_file_names,
            "b2_list_file_versions": self._list_file_versions,
            "b2_list_keys": self._list_keys,
            "b2_list_parts": self._list_parts,
            "b2_list_unfinished_large_files": self._list_unfinished_large_files,
            "b2_start_large_file": self._start_large_file,
            "b2_update_bucket": self._update_bucket,
            "b2_update_file_legal_hold": self._update_file_legal_hold,
            "b2_update_file_retention": self._update_file_retention,
        }

    def handle(self, call: Call) -> dict[str, Any]:
        """The JSON answer of a call; raises B2Error."""
        if call.name == "b2_authorize_account":
            return self._authorize_account(call)
        handler = self._handlers.get(call.name)
        if handler is None:
            raise bad_request(f"invalid API call: {call.name}")
        token = self._service.accounts.check_token(call.authorization, "account")
        return handler(call, token.key)

    # Account and keys

    def _authorize_account(self, call: Call) -> dict[str, Any]:
        key, token = self._service.accounts.log_in(*_basic_credentials(call.authorization))
        account_id = self._service.accounts.account_id
        buckets = None
        if key.bucket_ids is not None:
            known = {bucket.bucket_id: bucket.name for bucket in self._service.buckets.all()}
            buckets = [{"id": item, "name": known.get(item)} for item in key.bucket_ids]
            if call.api_version < 4 and len(buckets) > 1:
                raise B2Error(401, "unsupported", "a key with several buckets needs version 4")
        capabilities = list(key.capabilities)
        only = buckets[0] if buckets else {"id": None, "name": None}
        storage = {
            "absoluteMinimumPartSize": PART_BYTES_MIN,
            "apiUrl": call.base_url,
            "downloadUrl": call.base_url,
            "recommendedPartSize": RECOMMENDED_PART_BYTES,
            "s3ApiUrl": call.base_url,
        }
        one_bucket = {
            "bucketId": only["id"],
            "bucketName": only["name"],
            "capabilities": capabilities,
            "namePrefix": key.name_prefix,
        }
        answer: dict[str, Any] = {"accountId": account_id, "authorizationToken": token}
        if call.api_version <= 2:
            minimum = {"minimumPartSize": RECOMMENDED_PART_BYTES} if call.api_version == 1 else {}
            return {**answer, **storage, **minimum, "allowed": one_bucket}
        storage["infoType"] = "storageApi"
        answer["applicationKeyExpirationTimestamp"] = key.expires_ms
        if call.api_version == 3:
            answer["apiInfo"] = {"storageApi": {**storage, **one_bucket}}
            return answer
        allowed = {
            "buckets": buckets,
            "capabilities": capabilities,
            "namePrefix": key.name_prefix,
        }
        answer["apiInfo"] = {"storageApi": {**storage, "allowed": allowed}}
        return answer

    def _create_key(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "writeKeys")
        params = call.params
        self._check_account(params)
        bucket_ids = None
        if call.api_version >= 4 and params.has("bucketIds"):
            bucket_ids = params.text_list("bucketIds")
        elif params.has("bucketId"):
            bucket_ids = [params.text("bucketId")]
        for bucket_id in bucket_ids or []:
            self._service.buckets.get(bucket_id)
        capabilities = params.text_list("capabilities")
        for capability in capabilities:
            if capability not in key.capabilities:
                raise unauthorized(f"not entitled: the key can't grant {capability}")
        created = self._service.accounts.create(
            params.text("keyName"),
            capabilities,
            bucket_ids,
            params.optional_text("namePrefix"),
            params.optional_number("validDurationInSeconds"),
        )
        return {**self._key_answer(created, call), "applicationKey": created.secret}

    def _delete_key(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "deleteKeys")
        deleted = self._service.accounts.delete(call.params.text("applicationKeyId"))
        return self._key_answer(deleted, call)

    def _list_keys(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "listKeys")
        self._check_account(call.params)
        keys, next_id = self._service.accounts.list(
            call.params.optional_text("startApplicationKeyId"), _count(call.params, "maxKeyCount")
        )
        return {
            "keys": [self._key_answer(item, call) for item in keys],
            "nextApplicationKeyId": next_id,
        }

    def _key_answer(self, key: Key, call: Call) -> dict[str, Any]:
        return key_answer(key, self._service.accounts.account_id, call.api_version)

    def _check_account(self, params: Params) -> None:
        if params.text("accountId") != self._service.accounts.account_id:
            raise unauthorized("Account does not match the authorization token")

    # Buckets

    def _create_bucket(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "writeBuckets")
        self._check_account(call.params)
        if key.bucket_ids is not None:
            raise unauthorized("not entitled: the key is restricted to other buckets")
        bucket = self._service.buckets.create(call.params)
        return bucket_answer(bucket, self._service.accounts.account_id, key)

    def _update_bucket(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        require(key, "writeBuckets", params.text("bucketId"))
        self._check_account(params)
        if params.has("defaultServerSideEncryption"):
            require(key, "writeBucketEncryption")
        if params.has("defaultRetention") or params.has("fileLockEnabled"):
            require(key, "writeBucketRetentions")
        bucket = self._service.buckets.update(params)
        return bucket_answer(bucket, self._service.accounts.account_id, key)

    def _delete_bucket(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "deleteBuckets", call.params.text("bucketId"))
        self._check_account(call.params)
        bucket = self._service.buckets.delete(call.params.text("bucketId"))
        return bucket_answer(bucket, self._service.accounts.account_id, key)

    def _list_buckets(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        self._check_account(params)
        require(key, "listBuckets")
        wanted_id, wanted_name = (
            params.optional_text("bucketId"),
            params.optional_text("bucketName"),
        )
        types = params.optional_list("bucketTypes") or ["all"]
        buckets = self._service.buckets.all()
        if key.bucket_ids is not None:
            if wanted_id is None and wanted_name is None and call.api_version > 1:
                raise unauthorized("not entitled: a restricted key must name its bucket")
            buckets = [item for item in buckets if item.bucket_id in key.bucket_ids]
            names = [item.name for item in buckets]
            if (wanted_id or key.bucket_ids[0]) not in key.bucket_ids or (
                wanted_name is not None and wanted_name not in names
            ):
                raise unauthorized("not entitled: the key is restricted to another bucket")
        return {
            "buckets": [
                bucket_answer(item, self._service.accounts.account_id, key)
                for item in buckets
                if wanted_id in (None, item.bucket_id)
                and wanted_name in (None, item.name)
                and ("all" in types or item.type in types)
            ]
        }

    # Uploads

    def _get_upload_url(self, call: Call, key: Key) -> dict[str, Any]:
        bucket_id = call.params.text("bucketId")
        require(key, "writeFiles", bucket_id)
        self._service.buckets.get(bucket_id)
        token = self._service.accounts.issue(key, "upload", bucket_id)
        url = f"{call.base_url}/b2api/v{call.api_version}/b2_upload_file/{bucket_id}"
        return {
            "authorizationToken": token,
            "bucketId": bucket_id,
            "uploadUrl": f"{url}/{secrets.token_hex(8)}",
        }

    def _get_upload_part_url(self, call: Call, key: Key) -> dict[str, Any]:
        version = self._service.large_files.unfinished(call.params.text("fileId"))
        require(key, "writeFiles", version.bucket_id, version.name)
        token = self._service.accounts.issue(key, "part", version.bucket_id, version.seq)
        url = f"{call.base_url}/b2api/v{call.api_version}/b2_upload_part/{version.file_id}"
        return {
            "authorizationToken": token,
            "fileId": version.file_id,
            "uploadUrl": f"{url}/{secrets.token_hex(8)}",
        }

    def _start_large_file(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        bucket_id = params.text("bucketId")
        require(key, "writeFiles", bucket_id, params.text("fileName"))
        bucket = self._service.buckets.get(bucket_id)
        attributes = Attributes(
            name=params.text("fileName"),
            content_type=params.text("contentType"),
            info=params.optional_text_map("fileInfo") or {},
            encryption=params.optional_object("serverSideEncryption"),
            retention=params.optional_object("fileRetention"),
            legal_hold=params.optional_text("legalHold"),
            custom_timestamp_ms=params.optional_number("customUploadTimestamp")
            or params.optional_number("custom_upload_timestamp"),
        )
        version = self._service.versions.insert(bucket, attributes, "start", 0, None)
        return self._version_answer(version, call, key)

    def _finish_large_file(self, call: Call, key: Key) -> dict[str, Any]:
        file_id = call.params.text("fileId")
        version = self._service.large_files.unfinished(file_id)
        require(key, "writeFiles", version.bucket_id, version.name)
        finished = self._service.large_files.finish(file_id, call.params.text_list("partSha1Array"))
        return self._version_answer(finished, call, key)

    def _cancel_large_file(self, call: Call, key: Key) -> dict[str, Any]:
        file_id = call.params.text("fileId")
        version = self._service.large_files.unfinished(file_id)
        require(key, "writeFiles", version.bucket_id, version.name)
        self._service.large_files.cancel(file_id)
        return {
            "accountId": self._service.accounts.account_id,
            "bucketId": version.bucket_id,
            "fileId": file_id,
            "fileName": version.name,
        }

    def _copy_file(self, call: Call, key: Key) -> dict[str, Any]:
        return self._version_answer(self._service.copier.copy_file(call.params, key), call, key)

    def _copy_part(self, call: Call, key: Key) -> dict[str, Any]:
        part, file_id = self._service.copier.copy_part(call.params, key)
        return part_answer(part, file_id)

    def _list_parts(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        version = self._service.large_files.unfinished(params.text("fileId"))
        require(key, "writeFiles", version.bucket_id, version.name)
        start = params.optional_number("startPartNumber") or 1
        check_part_number(start)
        count = _count(params, "maxPartCount")
        parts = self._service.large_files.parts(version.seq, start)
        return {
            "nextPartNumber": parts[count].number if len(parts) > count else None,
            "parts": [part_answer(part, version.file_id) for part in parts[:count]],
        }

    # Files

    def _list_file_names(self, call: Call, key: Key) -> dict[str, Any]:
        page = listing.list_names(self._service.database, self._query(call, key))
        return {"files": self._entries(page, call, key), "nextFileName": page.next_name}

    def _list_file_versions(self, call: Call, key: Key) -> dict[str, Any]:
        query = self._query(call, key)
        if query.start_id is not None and not query.start_name:
            raise bad_request("startFileName must be provided if startFileId is")
        page = listing.list_versions(self._service.database, query)
        return {
            "files": self._entries(page, call, key),
            "nextFileId": page.next_id,
            "nextFileName": page.next_name,
        }

    def _query(self, call: Call, key: Key) -> listing.Query:
        params = call.params
        bucket_id = params.text("bucketId")
        prefix = params.optional_text("prefix") or ""
        require(key, "listFiles", bucket_id, prefix)
        self._service.buckets.get(bucket_id)
        return listing.Query(
            bucket_id=bucket_id,
            prefix=prefix,
            delimiter=params.optional_text("delimiter") or None,
            start_name=params.optional_text("startFileName") or "",
            start_id=params.optional_text("startFileId") or None,
            count=_count(params, "maxFileCount"),
        )

    def _entries(self, page: listing.Page, call: Call, key: Key) -> list[dict[str, Any]]:
        call.billed = max(1, -(-len(page.entries) // FILES_PER_BILLED_LISTING))
        return [
            self._version_answer(entry, call, key)
            if isinstance(entry, Version)
            else self._folder_answer(entry, call)
            for entry in page.entries
        ]

    def _folder_answer(self, folder: listing.Folder, call: Call) -> dict[str, Any]:
        answer = {
            "accountId": self._service.accounts.account_id,
            "action": "folder",
            "bucketId": call.params.text("bucketId"),
            "contentLength": 0,
            "contentSha1": None,
            "contentType": None,
            "fileId": None,
            "fileInfo": {},
            "fileName": folder.name,
            "uploadTimestamp": 0,
        }
        return {**answer, "size": 0} if call.api_version == 1 else answer

    def _list_unfinished_large_files(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        prefix = params.optional_text("namePrefix") or ""
        bucket_id = params.text("bucketId")
        require(key, "listFiles", bucket_id, prefix)
        self._service.buckets.get(bucket_id)
        versions, next_id = listing.list_unfinished(
            self._service.database,
            bucket_id,
            prefix,
            params.optional_text("startFileId"),
            _count(params, "maxFileCount", maximum=100),
        )
        return {
            "files": [self._version_answer(item, call, key) for item in versions],
            "nextFileId": next_id,
        }

    def _get_file_info(self, call: Call, key: Key) -> dict[str, Any]:
        version = self._service.versions.get(call.params.text("fileId"))
        require(key, "readFiles", version.bucket_id, version.name)
        return self._version_answer(version, call, key)

    def _hide_file(self, call: Call, key: Key) -> dict[str, Any]:
        bucket_id, name = call.params.text("bucketId"), call.params.text("fileName")
        require(key, "writeFiles", bucket_id, name)
        self._service.buckets.get(bucket_id)
        return self._version_answer(self._service.versions.hide(bucket_id, name), call, key)

    def _delete_file_version(self, call: Call, key: Key) -> dict[str, Any]:
        file_id, name = call.params.text("fileId"), call.params.text("fileName")
        version_bucket = parse_file_id(file_id)[0]
        require(key, "deleteFiles", version_bucket, name)
        bypass = bool(call.params.optional_flag("bypassGovernance"))
        self._service.versions.delete(file_id, name, key, bypass)
        return {"fileId": file_id, "fileName": name}

    def _get_download_authorization(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        bucket_id, prefix = params.text("bucketId"), params.text("fileNamePrefix")
        require(key, "shareFiles", bucket_id, prefix)
        self._service.buckets.get(bucket_id)
        seconds = params.number("validDurationInSeconds")
        if not 1 <= seconds <= DOWNLOAD_TOKEN_SECONDS_MAX:
            raise bad_request(f"validDurationInSeconds must be 1..{DOWNLOAD_TOKEN_SECONDS_MAX}")
        token = self._service.accounts.issue(
            key, "download", bucket_id, name_prefix=prefix, valid_seconds=seconds
        )
        return {"authorizationToken": token, "bucketId": bucket_id, "fileNamePrefix": prefix}

    def _update_file_retention(self, call: Call, key: Key) -> dict[str, Any]:
        version = self._lockable(call, key, "writeFileRetentions")
        retention = call.params.optional_object("fileRetention") or {}
        value = json.dumps(retention) if retention.get("mode") else None
        if self._service.versions.is_locked(version) and value is None:
            bypass = bool(call.params.optional_flag("bypassGovernance"))
            if not bypass or "bypassGovernance" not in key.capabilities:
                raise B2Error(403, "access_denied", "the retention can't be removed")
        self._service.versions.set_field(version.seq, "retention", value)
        return {
            "fileId": version.file_id,
            "fileName": version.name,
            "fileRetention": retention,
        }

    def _update_file_legal_hold(self, call: Call, key: Key) -> dict[str, Any]:
        version = self._lockable(call, key, "writeFileLegalHolds")
        value = call.params.text("legalHold")
        if value not in ("on", "off"):
            raise bad_request("legalHold must be on or off")
        self._service.versions.set_field(version.seq, "legal_hold", value)
        return {"fileId": version.file_id, "fileName": version.name, "legalHold": value}

    def _lockable(self, call: Call, key: Key, capability: str) -> Version:
        version = self._service.versions.get(call.params.text("fileId"))
        require(key, capability, version.bucket_id, version.name)
        if not self._service.buckets.get(version.bucket_id).lock_enabled:
            raise bad_request("the bucket does not have file lock enabled")
        return version

    def _version_answer(self, version: Version, call: Call, key: Key) -> dict[str, Any]:
        return version_answer(version, self._service.accounts.account_id, key, call.api_version)


def basic_user(authorization: str | None) -> str | None:
    """The key ID in a Basic Authorization header, if it is one."""
    try:
        return _basic_credentials(authorization)[0]
    except B2Error:
        return None


def _basic_credentials(authorization: str | None) -> tuple[str, str]:
    scheme, _space, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        raise unauthorized("")
    try:
        user, _colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized("") from error
    return user, password


def _count(params: Params, name: str, maximum: int = LISTING_COUNT_MAX) -> int:
    count = params.optional_number(name) or min(LISTING_COUNT_DEFAULT, maximum)
    if not 1 <= count <= maximum:
        raise B2Error(400, "out_of_range", f"{name} must be in 1..{maximum}")
    return count
