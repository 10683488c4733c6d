# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What B2 refuses, by its documentation: each leniency here would hide a failure of real nights.

The clients check most of it themselves, so that plain HTTP asks where they can't be brought to.
"""

from __future__ import annotations

import hashlib
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from b2sdk import v3

from b2_standin.client import StandIn
from b2_standin.tests.support import BUCKET, Http, Rclone, b2_api, versions

NIGHT_KEY = ("listFiles", "readFiles", "writeFiles")


@pytest.fixture
def bucket(b2: StandIn) -> Any:
    return b2_api(b2).get_bucket_by_name(BUCKET)


class Caller:
    """Calls and uploads by plain HTTP, with the token of a b2sdk bucket."""

    def __init__(self, b2: StandIn, bucket: Any) -> None:
        self._http = Http(b2)
        self._b2 = b2
        self._session = bucket.api.session
        self._token = bucket.api.account_info.get_account_auth_token()
        self.bucket_id = bucket.id_

    def __call__(self, name: str, version: int = 4, **fields: Any) -> tuple[int, str | None]:
        """Status and code of a call."""
        status, answer, _r = self._http(
            "POST", f"/api000/b2api/v{version}/{name}", fields, Authorization=self._token
        )
        return status, answer.get("code")

    def upload_path(self) -> tuple[str, str]:
        """The path and the token of a new upload URL."""
        answer = self._session.get_upload_url(self.bucket_id)
        return answer["uploadUrl"][len(self._b2.url) :], answer["authorizationToken"]

    def upload(self, encoded_name: str, **headers: str) -> tuple[int, str | None]:
        """Status and code of an upload of nothing under a name that is percent-encoded already."""
        path, token = self.upload_path()
        status, answer, _r = self._http(
            "POST",
            path,
            b"",
            **{
                "Authorization": token,
                "X_Bz_File_Name": encoded_name,
                "X_Bz_Content_Sha1": hashlib.sha1(b"").hexdigest(),
                "Content_Type": "text/plain",
                **headers,
            },
        )
        return status, answer.get("code")


@pytest.fixture
def call(b2: StandIn, bucket: Any) -> Caller:
    return Caller(b2, bucket)


@pytest.mark.parametrize(
    ("name", "version", "fields"),
    [
        ("b2_list_file_names", 4, {"bucketId": "?", "namePrefix": "a/"}),
        ("b2_list_file_names", 1, {"bucketId": "?", "startFileId": None}),
        ("b2_hide_file", 4, {"bucketId": "?", "fileName": "a", "fileId": "4_z"}),
        ("b2_create_key", 3, {"keyName": "k", "capabilities": ["listFiles"], "bucketIds": ["?"]}),
        ("b2_create_key", 4, {"keyName": "k", "capabilities": ["listFiles"], "bucketId": "?"}),
    ],
)
def test_a_field_that_a_call_does_not_have(
    call: Caller, name: str, version: int, fields: dict[str, Any]
) -> None:
    known = {"bucketId": call.bucket_id} if "bucketId" in fields else {}
    assert call(name, version, **{**fields, **known}) == (400, "bad_json")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("b2_list_file_names", {"maxFileCount": 10_001}),
        ("b2_list_file_versions", {"maxFileCount": -1}),
        ("b2_list_unfinished_large_files", {"maxFileCount": 101}),
    ],
)
def test_a_page_that_is_too_long(call: Caller, name: str, fields: dict[str, int]) -> None:
    assert call(name, bucketId=call.bucket_id, **fields) == (400, "out_of_range")


def test_a_page_of_parts_has_at_most_1000(call: Caller, bucket: Any) -> None:
    started = bucket.api.session.start_large_file(bucket.id_, "large", "b2/x-auto", {})
    assert (started["action"], started["contentSha1"]) == ("start", "none")
    file_id = started["fileId"]
    assert call("b2_list_parts", fileId=file_id, maxPartCount=1001) == (400, "out_of_range")
    assert call("b2_list_parts", fileId=file_id, maxPartCount=1000) == (200, None)


@pytest.mark.parametrize(
    "name",
    [
        "/a",
        "a/",
        "a//b",
        "a\\b",
        "a\x1fb",
        "a\x7fb",
        "a/" + "x" * 251,
        "ü" * 126,
        "/".join(["y" * 204] * 5) + "z",
    ],
)
def test_illegal_names(b2: StandIn, call: Caller, bucket: Any, name: str) -> None:
    assert call.upload(quote(name)) == (400, "bad_request")
    assert call("b2_start_large_file", bucketId=call.bucket_id, fileName=name,
                contentType="b2/x-auto") == (400, "bad_request")  # fmt: skip
    source = bucket.upload_bytes(b"x", "source")
    assert call("b2_copy_file", sourceFileId=source.id_, fileName=name) == (400, "bad_request")
    assert versions(b2) == [("source", "upload")]


@pytest.mark.parametrize("encoded", ["100%", "a%zzb", "\xe9", "a b", "%ff"])
def test_a_name_that_is_not_percent_encoded(b2: StandIn, call: Caller, encoded: str) -> None:
    assert call.upload(encoded) == (400, "bad_request")
    assert versions(b2) == []


def test_a_download_of_a_folder_is_a_bad_request(b2: StandIn, bucket: Any) -> None:
    bucket.upload_bytes(b"x", "folder/file")
    token = bucket.api.account_info.get_account_auth_token()
    for name, status in (("folder/", 400), ("folder", 404), ("folder/file", 200)):
        assert Http(b2)("HEAD", f"/f000/file/{BUCKET}/{name}", Authorization=token)[0] == status


def test_the_longest_names_and_a_backslash_through_rclone(
    b2: StandIn, rclone: Rclone, call: Caller, tmp_path: Path
) -> None:
    assert call.upload("/".join(["y" * 204] * 5)) == (200, None)
    assert call.upload(quote("ü" * 125)) == (200, None)
    source = tmp_path / "source"
    source.mkdir()
    (source / "back\\slash").write_text("kept")
    rclone("copy", source, f"b2:{BUCKET}/x")
    rclone("copy", f"b2:{BUCKET}/x", tmp_path / "restored")
    assert (tmp_path / "restored" / "back\\slash").read_text() == "kept"


@pytest.mark.parametrize(
    "info",
    [
        {f"name-{number}": "x" for number in range(11)},
        {"b2-unheard-of": "x"},
        {"na me": "x"},
        {"x" * 51: "x"},
        {"long": "x" * 7000},
        {"encoded": "ü" * 1200},
    ],
)
def test_illegal_file_infos(b2: StandIn, call: Caller, info: dict[str, str]) -> None:
    started = call("b2_start_large_file", bucketId=call.bucket_id, fileName="large",
                   contentType="b2/x-auto", fileInfo=info)  # fmt: skip
    assert started == (400, "bad_request")
    if "na me" not in info:  # no header
        headers = {f"X_Bz_Info_{name}": quote(value) for name, value in info.items()}
        assert call.upload("small", **headers) == (400, "bad_request")
    assert versions(b2) == []


def test_infos_are_shorter_with_encryption_or_object_lock_and_lower_case(
    b2: StandIn, bucket: Any
) -> None:
    info = {"Note": "x" * 3000}
    assert bucket.upload_bytes(b"", "plain", file_info=info).file_info == {"note": "x" * 3000}
    encryption = v3.EncryptionSetting(
        v3.EncryptionMode.SSE_B2, algorithm=v3.EncryptionAlgorithm.AES256
    )
    api = b2_api(b2)
    for name, settings in (
        ("encrypted-bucket", {"default_server_side_encryption": encryption}),
        ("locked-bucket", {"is_file_lock_enabled": True}),
    ):
        made = api.create_bucket(name, "allPrivate", **settings)
        made.upload_bytes(b"", "short", file_info={"note": "x" * 1900})
        with pytest.raises(v3.exception.BadRequest, match="2048 allowed"):
            made.upload_bytes(b"", "long", file_info=info)


def test_an_upload_needs_its_headers_and_fits_one_file(call: Caller) -> None:
    assert call.upload("no-type", Content_Type="") == (400, "bad_request")
    assert call.upload("no-sha1", X_Bz_Content_Sha1="") == (400, "bad_request")
    too_long = call.upload("too-long", Content_Length="5000000001")
    assert too_long == (400, "bad_request")


def test_an_upload_url_takes_one_upload_at_a_time_and_no_other_bucket(
    b2: StandIn, call: Caller, bucket: Any
) -> None:
    path, token = call.upload_path()
    sha1 = hashlib.sha1(b"first").hexdigest()

    def upload(upload_path: str) -> Any:
        return bucket.api.raw_api.upload_file(
            b2.url + upload_path, token, "first", 5, "text/plain", sha1, {}, BytesIO(b"first")
        )

    b2.fault("slow", "b2_upload_file", bytes_per_second=20)
    first = Http(b2).connection
    first.putrequest("POST", path)
    for name, value in {
        "Authorization": token,
        "X-Bz-File-Name": "first",
        "X-Bz-Content-Sha1": sha1,
        "Content-Type": "text/plain",
        "Content-Length": "5",
    }.items():
        first.putheader(name, value)
    first.endheaders()
    first.send(b"fir")
    deadline = time.monotonic() + 240
    while not b2.stats()["bytes_uploaded"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(v3.exception.B2Error, match="More than one concurrent upload"):
        upload(path)
    first.send(b"st")
    assert first.getresponse().status == 200
    assert upload(path)["fileName"] == "first"

    other = b2_api(b2).create_bucket("other-bucket", "allPrivate")
    with pytest.raises(v3.exception.InvalidAuthToken):
        upload(path.replace(bucket.id_, other.id_))
    assert b2.files("other-bucket") == []


def test_an_upload_url_of_a_part_is_for_one_large_file(b2: StandIn, bucket: Any) -> None:
    session = bucket.api.session
    one, two = (
        session.start_large_file(bucket.id_, name, "b2/x-auto", {})["fileId"] for name in "12"
    )
    upload = session.get_upload_part_url(one)
    with pytest.raises(v3.exception.InvalidAuthToken):
        bucket.api.raw_api.upload_part(
            upload["uploadUrl"].replace(one, two), upload["authorizationToken"], 1, 1,
            hashlib.sha1(b"x").hexdigest(), BytesIO(b"x"),
        )  # fmt: skip


def test_a_key_for_a_bucket_rules_no_account(b2: StandIn, bucket: Any) -> None:
    api = b2_api(b2)
    for capability in ("listKeys", "writeKeys", "deleteKeys", "writeBuckets", "deleteBuckets"):
        with pytest.raises(v3.exception.BadRequest, match=capability):
            api.create_key([*NIGHT_KEY, capability], "k", bucket_ids=[bucket.id_])
    with pytest.raises(v3.exception.BadRequest, match="86400000"):
        api.create_key(list(NIGHT_KEY), "k", 86_400_001)
    with pytest.raises(v3.exception.BucketIdNotFound):
        api.create_key(list(NIGHT_KEY), "k", bucket_ids=["0" * 24])


def test_locks_and_encryption_need_their_capabilities(b2: StandIn) -> None:
    plain = b2_api(b2, b2.make_key(["listBuckets", "writeBuckets", *NIGHT_KEY]))
    encryption = v3.EncryptionSetting(
        v3.EncryptionMode.SSE_B2, algorithm=v3.EncryptionAlgorithm.AES256
    )
    for settings in (
        {"is_file_lock_enabled": True},
        {"default_server_side_encryption": encryption},
    ):
        with pytest.raises(v3.exception.Unauthorized):
            plain.create_bucket("other-bucket", "allPrivate", **settings)
    retention = v3.FileRetentionSetting(v3.RetentionMode.GOVERNANCE, 4_000_000_000_000)
    unlocked = b2_api(b2).get_bucket_by_name(BUCKET)
    with pytest.raises(v3.exception.BadRequest, match="file lock"):
        unlocked.upload_bytes(b"x", "file", file_retention=retention)
    locked = b2_api(b2).create_bucket("locked-bucket", "allPrivate", is_file_lock_enabled=True)
    with pytest.raises(v3.exception.B2Error, match="lacks writeFileRetentions"):
        plain.get_bucket_by_name("locked-bucket").upload_bytes(
            b"x", "file", file_retention=retention
        )
    stored = locked.upload_bytes(b"x", "file", file_retention=retention)
    for weaker in (
        v3.FileRetentionSetting(v3.RetentionMode.GOVERNANCE, 3_000_000_000_000),
        v3.NO_RETENTION_FILE_SETTING,
    ):
        with pytest.raises(v3.exception.B2Error):
            b2_api(b2).update_file_retention(stored.id_, "file", weaker)
        b2_api(b2).update_file_retention(stored.id_, "file", retention)
    b2_api(b2).update_file_retention(stored.id_, "file", weaker, bypass_governance=True)
    b2_api(b2).delete_file_version(stored.id_, "file")


def test_a_bad_default_retention(b2: StandIn, call: Caller, bucket: Any) -> None:
    bucket.update(is_file_lock_enabled=True)
    for retention in (
        {"mode": "gentle", "period": {"duration": 1, "unit": "days"}},
        {"mode": "governance"},
        {"mode": "governance", "period": {"duration": 0, "unit": "days"}},
        {"mode": "governance", "period": {"duration": 1, "unit": "weeks"}},
    ):
        refused = call("b2_update_bucket", accountId=b2.account_id, bucketId=call.bucket_id,
                       defaultRetention=retention)  # fmt: skip
        assert refused == (400, "bad_request")


def test_a_download_authorization_is_for_names_and_not_for_ids(bucket: Any) -> None:
    stored = bucket.upload_bytes(b"shared", "open/file")
    token = bucket.get_download_authorization("open/", 60)
    url = bucket.api.account_info.get_download_url()
    with pytest.raises(v3.exception.InvalidAuthToken):
        bucket.api.raw_api.download_file_from_url(
            token, f"{url}/b2api/v4/b2_download_file_by_id?fileId={stored.id_}"
        )
