# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls about the account, its keys and its buckets."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from . import hosts
from .accounts import Key, key_answer, require
from .buckets import bucket_answer
from .calls import Call, Handler, page_count, transactions
from .errors import B2Error, unauthorized
from .large_files import PART_BYTES_MIN, RECOMMENDED_PART_BYTES
from .params import Params
from .service import Service


class AccountCalls:
    """b2_authorize_account, ..._key and ..._bucket."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.handlers: dict[str, Handler] = {
            "b2_create_bucket": self._create_bucket,
            "b2_create_key": self._create_key,
            "b2_delete_bucket": self._delete_bucket,
            "b2_delete_key": self._delete_key,
            "b2_list_buckets": self._list_buckets,
            "b2_list_keys": self._list_keys,
            "b2_update_bucket": self._update_bucket,
        }

    def authorize_account(self, call: Call) -> dict[str, Any]:
        """b2_authorize_account, in the shape of the version that was called."""
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
            "apiUrl": f"{call.base_url}/{hosts.API}",
            "downloadUrl": f"{call.base_url}/{hosts.DOWNLOAD}",
            "recommendedPartSize": RECOMMENDED_PART_BYTES,
            "s3ApiUrl": f"{call.base_url}/{hosts.S3}",
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
        if params.has("bucketIds"):
            bucket_ids = params.text_list("bucketIds")
        elif params.has("bucketId"):
            bucket_ids = [params.text("bucketId")]
        for bucket_id in bucket_ids or []:
            self._service.buckets.get(bucket_id)
        # Documented: writeKeys sets no limit to what the new key may do.
        created = self._service.accounts.create(
            params.text("keyName"),
            params.text_list("capabilities"),
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
            call.params.optional_text("startApplicationKeyId"),
            page_count(call.params, "maxKeyCount"),
        )
        call.billed = transactions(len(keys))
        return {
            "keys": [self._key_answer(item, call) for item in keys],
            "nextApplicationKeyId": next_id,
        }

    def _key_answer(self, key: Key, call: Call) -> dict[str, Any]:
        return key_answer(key, self._service.accounts.account_id, call.api_version)

    def _check_account(self, params: Params) -> None:
        if params.text("accountId") != self._service.accounts.account_id:
            raise unauthorized("Account does not match the authorization token")

    def _create_bucket(self, call: Call, key: Key) -> dict[str, Any]:
        require(key, "writeBuckets")
        self._check_account(call.params)
        if key.bucket_ids is not None:
            raise unauthorized("not entitled: the key is restricted to other buckets")
        _require_for_settings(key, call.params)
        bucket = self._service.buckets.create(call.params)
        return bucket_answer(bucket, self._service.accounts.account_id, key)

    def _update_bucket(self, call: Call, key: Key) -> dict[str, Any]:
        params = call.params
        require(key, "writeBuckets", params.text("bucketId"))
        self._check_account(params)
        _require_for_settings(key, params)
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


def _require_for_settings(key: Key, params: Params) -> None:
    """Encryption and Object Lock of a bucket need capabilities of their own."""
    if params.has("defaultServerSideEncryption"):
        require(key, "writeBucketEncryption")
    if params.has("defaultRetention") or params.has("fileLockEnabled"):
        require(key, "writeBucketRetentions")


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
