# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON calls that make files: upload URLs, large files, copies."""

from __future__ import annotations

import secrets
from typing import Any

from . import hosts
from .accounts import Key, require
from .calls import Call, Handler, page_count
from .large_files import LISTED_PARTS_MAX, check_part_number, part_answer
from .service import Service
from .versions import Attributes, Version, check_lock_rights, version_answer


class UploadCalls:
    """b2_get_upload_url and ..._part_url, b2_..._large_file, b2_copy_file and ..._part."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.handlers: dict[str, Handler] = {
            "b2_cancel_large_file": self._cancel_large_file,
            "b2_copy_file": self._copy_file,
            "b2_copy_part": self._copy_part,
            "b2_finish_large_file": self._finish_large_file,
            "b2_get_upload_part_url": self._get_upload_part_url,
            "b2_get_upload_url": self._get_upload_url,
            "b2_list_parts": self._list_parts,
            "b2_start_large_file": self._start_large_file,
        }

    def _get_upload_url(self, call: Call, key: Key) -> dict[str, Any]:
        bucket_id = call.params.text("bucketId")
        require(key, "writeFiles", bucket_id)
        self._service.buckets.get(bucket_id)
        token = self._service.accounts.issue(key, "upload", bucket_id)
        url = _upload_url(call, "b2_upload_file", bucket_id)
        return {
            "authorizationToken": token,
            "bucketId": bucket_id,
            "uploadUrl": url,
        }

    def _get_upload_part_url(self, call: Call, key: Key) -> dict[str, Any]:
        version = self._service.large_files.unfinished(call.params.text("fileId"))
        require(key, "writeFiles", version.bucket_id, version.name)
        token = self._service.accounts.issue(key, "part", version.bucket_id, version.seq)
        url = _upload_url(call, "b2_upload_part", version.file_id)
        return {
            "authorizationToken": token,
            "fileId": version.file_id,
            "uploadUrl": url,
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
        check_lock_rights(key, bucket, attributes)
        version = self._service.versions.insert(bucket, attributes, "start", 0, "none")
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
        count = page_count(params, "maxPartCount", LISTED_PARTS_MAX)
        parts = self._service.large_files.parts(version.seq, start)
        return {
            "nextPartNumber": parts[count].number if len(parts) > count else None,
            "parts": [part_answer(part, version.file_id) for part in parts[:count]],
        }

    def _version_answer(self, version: Version, call: Call, key: Key) -> dict[str, Any]:
        return version_answer(version, self._service.accounts.account_id, key, call.api_version)


def _upload_url(call: Call, name: str, target_id: str) -> str:
    base = f"{call.base_url}/{hosts.UPLOAD}/b2api/v{call.api_version}"
    return f"{base}/{name}/{target_id}/{secrets.token_hex(8)}"
