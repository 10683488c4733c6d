# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documented fields of each call: B2 refuses a body with any other."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import B2Error

_BUCKET = (
    "accountId bucketType bucketInfo corsRules lifecycleRules defaultServerSideEncryption"
    " fileLockEnabled replicationConfiguration"
)
_LISTING = "bucketId startFileName maxFileCount prefix delimiter"
_COPY = "sourceFileId range sourceServerSideEncryption destinationServerSideEncryption"
FIELDS = {
    "b2_authorize_account": "",
    "b2_cancel_large_file": "fileId",
    "b2_copy_file": f"{_COPY} destinationBucketId fileName metadataDirective contentType fileInfo"
    " fileRetention legalHold",
    "b2_copy_part": f"{_COPY} largeFileId partNumber",
    "b2_create_bucket": f"{_BUCKET} bucketName",
    "b2_create_key": "accountId capabilities keyName validDurationInSeconds namePrefix",
    "b2_delete_bucket": "accountId bucketId",
    "b2_delete_file_version": "fileName fileId bypassGovernance",
    "b2_delete_key": "applicationKeyId",
    "b2_finish_large_file": "fileId partSha1Array",
    "b2_get_download_authorization": "bucketId fileNamePrefix validDurationInSeconds"
    " b2ContentDisposition b2ContentLanguage b2Expires b2CacheControl b2ContentEncoding"
    " b2ContentType",
    "b2_get_file_info": "fileId",
    "b2_get_upload_part_url": "fileId",
    "b2_get_upload_url": "bucketId",
    "b2_hide_file": "bucketId fileName",
    "b2_list_buckets": "accountId bucketId bucketName bucketTypes",
    "b2_list_file_names": _LISTING,
    "b2_list_file_versions": f"{_LISTING} startFileId",
    "b2_list_keys": "accountId maxKeyCount startApplicationKeyId",
    "b2_list_parts": "fileId startPartNumber maxPartCount",
    "b2_list_unfinished_large_files": "bucketId namePrefix startFileId maxFileCount",
    # b2sdk writes the last field as in the second spelling.
    "b2_start_large_file": "bucketId fileName contentType fileInfo fileRetention legalHold"
    " serverSideEncryption customUploadTimestamp custom_upload_timestamp",
    "b2_update_bucket": f"{_BUCKET} bucketId defaultRetention ifRevisionIs",
    "b2_update_file_legal_hold": "fileName fileId legalHold",
    "b2_update_file_retention": "fileName fileId fileRetention bypassGovernance",
}


def check_fields(call: str, api_version: int, names: Iterable[str]) -> None:
    """400 bad_json if a call carries a field that it doesn't have in this version of the API."""
    known = set(FIELDS[call].split())
    if call == "b2_create_key":
        known.add("bucketIds" if api_version >= 4 else "bucketId")
    unknown = sorted(set(names) - known)
    if unknown:
        raise B2Error(400, "bad_json", f"unknown field in {call}: {unknown[0]}")
