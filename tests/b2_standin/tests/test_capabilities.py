# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every call by keys that may and keys that may not: capability, bucket, prefix.

The capabilities are those that Backblaze documents for each call. Plain HTTP asks, because the
clients look at what a key may do themselves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from b2_standin.accounts import ALL_CAPABILITIES, BUCKET_CAPABILITIES
from b2_standin.client import Key, StandIn
from b2_standin.fields import FIELDS
from b2_standin.tests.support import BUCKET, Http, b2_api

OTHER_BUCKET = "another-bucket"
UNAUTHORIZED = (401, "unauthorized")


@dataclass(frozen=True)
class Call:
    """A call, the capabilities it needs, and its fields: ``$name`` is looked up in the fixture."""

    name: str
    capabilities: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    has_bucket: bool = True
    has_name: bool = True


IN_ACCOUNT = {"accountId": "$account"}
OF_FILE = {"fileId": "$file", "fileName": "host/file"}
CALLS = [
    Call("b2_cancel_large_file", ("writeFiles",), {"fileId": "$large"}),
    Call(
        "b2_copy_file",
        ("readFiles", "writeFiles"),
        {"sourceFileId": "$file", "fileName": "host/copy"},
    ),
    Call(
        "b2_copy_part",
        ("readFiles", "writeFiles"),
        {"sourceFileId": "$file", "largeFileId": "$large", "partNumber": 1},
    ),
    Call(
        "b2_create_bucket",
        ("writeBuckets",),
        {**IN_ACCOUNT, "bucketName": "new-bucket", "bucketType": "allPrivate"},
        has_name=False,
    ),
    Call(
        "b2_create_key",
        ("writeKeys",),
        {**IN_ACCOUNT, "keyName": "new", "capabilities": ["listFiles"]},
        has_name=False,
    ),
    Call(
        "b2_delete_bucket",
        ("deleteBuckets",),
        {**IN_ACCOUNT, "bucketId": "$empty"},
        has_name=False,
    ),
    Call("b2_delete_file_version", ("deleteFiles",), OF_FILE),
    Call("b2_delete_key", ("deleteKeys",), {"applicationKeyId": "$key"}, has_name=False),
    Call("b2_finish_large_file", ("writeFiles",), {"fileId": "$full", "partSha1Array": "$sha1s"}),
    Call(
        "b2_get_download_authorization",
        ("shareFiles",),
        {"bucketId": "$bucket", "fileNamePrefix": "host/", "validDurationInSeconds": 60},
    ),
    Call("b2_get_file_info", ("readFiles",), {"fileId": "$file"}),
    Call("b2_get_upload_part_url", ("writeFiles",), {"fileId": "$large"}),
    Call("b2_get_upload_url", ("writeFiles",), {"bucketId": "$bucket"}, has_name=False),
    Call("b2_hide_file", ("writeFiles",), {"bucketId": "$bucket", "fileName": "host/file"}),
    Call(
        "b2_list_buckets", ("listBuckets",), {**IN_ACCOUNT, "bucketId": "$bucket"}, has_name=False
    ),
    Call("b2_list_file_names", ("listFiles",), {"bucketId": "$bucket"}),
    Call("b2_list_file_versions", ("listFiles",), {"bucketId": "$bucket", "prefix": "host/"}),
    Call("b2_list_keys", ("listKeys",), IN_ACCOUNT, has_bucket=False, has_name=False),
    Call("b2_list_parts", ("writeFiles",), {"fileId": "$large"}),
    Call(
        "b2_list_unfinished_large_files",
        ("listFiles",),
        {"bucketId": "$bucket", "namePrefix": "host/"},
    ),
    Call(
        "b2_start_large_file",
        ("writeFiles",),
        {"bucketId": "$bucket", "fileName": "host/new", "contentType": "b2/x-auto"},
    ),
    Call(
        "b2_update_bucket",
        ("writeBuckets",),
        {**IN_ACCOUNT, "bucketId": "$bucket", "bucketInfo": {"a": "b"}},
        has_name=False,
    ),
    Call("b2_update_file_legal_hold", ("writeFileLegalHolds",), {**OF_FILE, "legalHold": "on"}),
    Call(
        "b2_update_file_retention",
        ("writeFileRetentions",),
        {**OF_FILE, "fileRetention": {"mode": "governance", "retainUntilTimestamp": 4 * 10**12}},
    ),
]


class Scene:
    """A bucket with a file and unfinished ones, and what the calls' fields stand for."""

    def __init__(self, b2: StandIn) -> None:
        self._b2 = b2
        b2.make_bucket(OTHER_BUCKET)
        api = b2_api(b2)
        bucket = api.get_bucket_by_name(BUCKET)
        bucket.update(is_file_lock_enabled=True)
        session = api.session
        large, full = (
            session.start_large_file(bucket.id_, f"host/{name}", "b2/x-auto", {})["fileId"]
            for name in ("large", "full")
        )
        self.sha1 = hashlib.sha1(b"part").hexdigest()
        session.upload_part(full, 1, 4, self.sha1, b"part")
        self.values = {
            "$account": b2.account_id,
            "$bucket": bucket.id_,
            "$empty": api.get_bucket_by_name(OTHER_BUCKET).id_,
            "$file": bucket.upload_bytes(b"content", "host/file").id_,
            "$full": full,
            "$key": b2.make_key().application_key_id,
            "$large": large,
            "$sha1s": [self.sha1],
        }

    def token(self, key: Key) -> str:
        """A token of the key's."""
        token: str = b2_api(self._b2, key).account_info.get_account_auth_token()
        return token

    def ask(self, call: Call, key: Key) -> tuple[int, str | None]:
        """Status and code of a call with a key."""
        fields = {
            name: self.values.get(value, value) if isinstance(value, str) else value
            for name, value in call.fields.items()
        }
        status, answer, _r = Http(self._b2)(
            "POST", f"/api000/b2api/v4/{call.name}", fields, Authorization=self.token(key)
        )
        return status, answer.get("code")


@pytest.fixture
def scene(b2: StandIn) -> Scene:
    return Scene(b2)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_call_needs_its_capabilities_its_bucket_and_its_prefix(
    b2: StandIn, scene: Scene, call: Call
) -> None:
    for missing in call.capabilities:
        key = b2.make_key([name for name in ALL_CAPABILITIES if name != missing])
        assert scene.ask(call, key) == UNAUTHORIZED, missing
    if call.has_bucket and set(call.capabilities) <= set(BUCKET_CAPABILITIES):
        assert scene.ask(call, b2.make_key(bucket=OTHER_BUCKET)) == UNAUTHORIZED
    if call.has_name:
        for prefix in ("elsewhere/", "host/deeper/"):
            assert scene.ask(call, b2.make_key(bucket=BUCKET, prefix=prefix)) == UNAUTHORIZED
    assert scene.ask(call, b2.make_key(call.capabilities)) == (200, None)


def test_every_call_of_the_table_is_looked_at() -> None:
    assert {call.name for call in CALLS} == set(FIELDS) - {"b2_authorize_account"}


@pytest.mark.parametrize(
    ("bucket", "prefix", "capabilities"),
    [
        (OTHER_BUCKET, None, None),
        (BUCKET, "elsewhere/", None),
        (None, None, [name for name in ALL_CAPABILITIES if name != "readFiles"]),
    ],
)
def test_downloads_need_read_files_here(
    b2: StandIn,
    scene: Scene,
    bucket: str | None,
    prefix: str | None,
    capabilities: list[str] | None,
) -> None:
    token = scene.token(b2.make_key(capabilities, bucket=bucket, prefix=prefix))
    for path in (
        f"/f000/file/{BUCKET}/host/file",
        f"/f000/b2api/v4/b2_download_file_by_id?fileId={scene.values['$file']}",
    ):
        status, answer, _r = Http(b2)("GET", path, Authorization=token)
        assert (status, answer["code"]) == UNAUTHORIZED
        assert Http(b2)("HEAD", path, Authorization=token)[0] == 401


def test_an_upload_lies_below_the_prefix_of_its_key(b2: StandIn, scene: Scene) -> None:
    bucket = b2_api(b2, b2.make_key(bucket=BUCKET, prefix="host/")).get_bucket_by_name(BUCKET)
    upload = bucket.api.session.get_upload_url(bucket.id_)
    for name, expected in (("host/new", 200), ("hostile", 401), ("other/new", 401)):
        status, _answer, _r = Http(b2)(
            "POST",
            upload["uploadUrl"][len(b2.url) :],
            b"part",
            Authorization=upload["authorizationToken"],
            X_Bz_File_Name=name,
            X_Bz_Content_Sha1=scene.sha1,
            Content_Type="text/plain",
        )
        assert status == expected, name


def test_a_copy_stays_within_its_key_on_both_sides(b2: StandIn, scene: Scene) -> None:
    source = {"sourceFileId": "$file"}
    key = b2.make_key(bucket=BUCKET, prefix="host/")
    elsewhere = Call("b2_copy_file", (), {**source, "fileName": "other/copy"})
    other_bucket = Call(
        "b2_copy_file", (), {**source, "fileName": "host/copy", "destinationBucketId": "$empty"}
    )
    within = Call("b2_copy_file", (), {**source, "fileName": "host/copy"})
    assert scene.ask(elsewhere, key) == UNAUTHORIZED
    assert scene.ask(other_bucket, key) == UNAUTHORIZED
    assert scene.ask(within, key) == (200, None)
