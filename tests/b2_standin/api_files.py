# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls about files that are there: listings, hiding, deleting, locking."""

from __future__ import annotations

import json
from typing import Any

from . import listing
from .accounts import Key, require
from .buckets import RETENTION_MODES
from .calls import Call, Handler, page_count, transactions
from .errors import B2Error, bad_request
from .service import Service
from .versions import Version, parse_file_id, version_answer

DOWNLOAD_TOKEN_SECONDS_MAX = 604_800


class FileCalls:
    """b2_list_file_names and its like, b2_hide_file, b2_delete_file_version, Object Lock."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.handlers: dict[str, Handler] = {
            "b2_delete_file_version": self._delete_file_version,
            "b2_get_download_authorization": self._get_download_authorization,
            "b2_get_file_info": self._get_file_info,
            "b2_hide_file": self._hide_file,
            "b2_list_file_names": self._list_file_names,
            "b2_list_file_versions": self._list_file_versions,
            "b2_list_unfinished_large_files": self._list_unfinished_large_files,
            "b2_update_file_legal_hold": self._update_file_legal_hold,
            "b2_update_file_retention": self._update_file_retention,
        }

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
            count=page_count(params, "maxFileCount"),
        )

    def _entries(self, page: listing.Page, call: Call, key: Key) -> list[dict[str, Any]]:
        call.billed = transactions(len(page.entries))
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
            page_count(params, "maxFileCount", maximum=100),
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
        mode = retention.get("mode")
        if mode is not None and mode not in RETENTION_MODES:
            raise bad_request(f"Invalid fileRetention mode: {mode}")
        value = json.dumps(retention) if mode else None
        bypass = bool(call.params.optional_flag("bypassGovernance"))
        if self._is_weaker(version, retention) and not (
            bypass and "bypassGovernance" in key.capabilities and _is_governed(version)
        ):
            raise B2Error(403, "access_denied", "the retention can't be shortened or removed")
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

    def _is_weaker(self, version: Version, retention: dict[str, Any]) -> bool:
        """Whether the retention would protect a version less than the one in force."""
        now = json.loads(version.retention or "{}")
        until_ms = now.get("retainUntilTimestamp") or 0
        if not now.get("mode") or until_ms <= self._service.clock.now_ms():
            return False
        if now["mode"] == "compliance" and retention.get("mode") != "compliance":
            return True
        return not retention.get("mode") or (retention.get("retainUntilTimestamp") or 0) < until_ms

    def _version_answer(self, version: Version, call: Call, key: Key) -> dict[str, Any]:
        return version_answer(version, self._service.accounts.account_id, key, call.api_version)


def _is_governed(version: Version) -> bool:
    return bool(json.loads(version.retention or "{}").get("mode") == "governance")
