# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""b2sdk's view: buckets and rules, versions, large files, copies, Object Lock, error codes."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import pytest
from b2sdk import v3

from b2_standin.client import StandIn
from b2_standin.tests.support import BUCKET, MIB, b2_api, contents, versions

MINIMUM_PART = 5_000_000
RULE = {
    "fileNamePrefix": "daily/",
    "daysFromHidingToDeleting": 30,
    "daysFromUploadingToHiding": None,
    "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
}


@pytest.fixture
def bucket(b2: StandIn) -> Any:
    return b2_api(b2).get_bucket_by_name(BUCKET)


def test_bucket_settings_are_kept_and_changed(b2: StandIn) -> None:
    api = b2_api(b2)
    encryption = v3.EncryptionSetting(
        v3.EncryptionMode.SSE_B2, algorithm=v3.EncryptionAlgorithm.AES256
    )
    api.create_bucket(
        "second-bucket",
        "allPrivate",
        bucket_info={"purpose": "test"},
        lifecycle_rules=[RULE],
        default_server_side_encryption=encryption,
        is_file_lock_enabled=True,
    )
    made = b2_api(b2).get_bucket_by_name("second-bucket")
    assert made.lifecycle_rules == [RULE]
    assert made.bucket_info == {"purpose": "test"}
    assert made.default_server_side_encryption == encryption
    assert made.is_file_lock_enabled is True
    changed = made.update(lifecycle_rules=[{**RULE, "daysFromHidingToDeleting": 60}])
    assert changed.lifecycle_rules[0]["daysFromHidingToDeleting"] == 60
    assert (changed.revision, changed.bucket_info) == (made.revision + 1, {"purpose": "test"})
    with pytest.raises(v3.exception.Conflict):
        made.update(bucket_info={}, if_revision_is=made.revision)
    assert [item.name for item in api.list_buckets()] == ["second-bucket", BUCKET]
    api.delete_bucket(made)
    assert [item.name for item in api.list_buckets()] == [BUCKET]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"fileNamePrefix": "a/", "daysFromHidingToDeleting": 0}], "must be positive"),
        ([{"daysFromHidingToDeleting": 1}], "needs a fileNamePrefix"),
        ([{"fileNamePrefix": "a/", "daysFromNowToThen": 1}], "unknown field"),
        ([{"fileNamePrefix": "a/", "daysFromHidingToDeleting": None}], "at least one"),
        (
            [
                {"fileNamePrefix": "a/", "daysFromHidingToDeleting": 1},
                {"fileNamePrefix": "a/b", "daysFromHidingToDeleting": 1},
            ],
            "same files",
        ),
    ],
)
def test_bad_lifecycle_rules_are_refused(
    bucket: Any, rules: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(v3.exception.BadRequest, match=message):
        bucket.update(lifecycle_rules=rules)


def test_bucket_errors(b2: StandIn, bucket: Any) -> None:
    api = b2_api(b2)
    with pytest.raises(v3.exception.DuplicateBucketName):
        api.create_bucket(BUCKET.upper(), "allPrivate")
    with pytest.raises(v3.exception.BadRequest, match="Invalid bucketName"):
        api.create_bucket("b2-mine", "allPrivate")
    bucket.upload_bytes(b"x", "file")
    with pytest.warns(UserWarning, match="cannot_delete_non_empty_bucket"):
        with pytest.raises(v3.exception.BadRequest):
            api.delete_bucket(bucket)
    with pytest.raises(v3.exception.NonExistentBucket):
        api.get_bucket_by_name("no-such-bucket")
    with pytest.raises(v3.exception.BucketIdNotFound):
        api.get_bucket_by_id("0" * 24).upload_bytes(b"x", "file")


def test_versions_are_ordered_by_bytes_and_newest_first(b2: StandIn, bucket: Any) -> None:
    names = ["a", "a b", "a/b", "ab", "B", "é", "日本", "\U0001f954", "\uffee"]
    for name in names:
        bucket.upload_bytes(b"1", name)
    newest = bucket.upload_bytes(b"22", "a/b")
    bucket.hide_file("a/b")
    listed = [
        (item.file_name, item.action)
        for item, _folder in bucket.ls(latest_only=False, recursive=True, fetch_count=2)
    ]
    expected = [
        (name, action)
        for name in sorted(names, key=str.encode)
        for action in (["hide", "upload", "upload"] if name == "a/b" else ["upload"])
    ]
    assert listed == expected
    assert versions(b2) == expected
    assert [item.file_name for item, _f in bucket.ls(recursive=True, fetch_count=2)] == [
        name for name in sorted(names, key=str.encode) if name != "a/b"
    ]
    stored = [item.id_ for item in bucket.list_file_versions("a/b")]
    assert stored[1] == newest.id_


def test_folders_as_b2sdk_lists_them(b2: StandIn, bucket: Any) -> None:
    for name in ("a/1", "a/2", "a/sub/3", "b", "c/4"):
        bucket.upload_bytes(b"x", name)
    bucket.hide_file("c/4")
    assert [(item.file_name, folder) for item, folder in bucket.ls(fetch_count=1)] == [
        ("a/1", "a/"),
        ("b", None),
    ]
    assert [(item.file_name, folder) for item, folder in bucket.ls("a", fetch_count=1)] == [
        ("a/1", None),
        ("a/2", None),
        ("a/sub/3", "a/sub/"),
    ]
    assert [folder for _item, folder in bucket.ls(latest_only=False)] == ["a/", None, "c/"]


def test_hide_unhide_and_delete(b2: StandIn, bucket: Any) -> None:
    first = bucket.upload_bytes(b"first", "file")
    bucket.hide_file("file")
    with pytest.raises(v3.exception.FileAlreadyHidden):
        bucket.hide_file("file")
    with pytest.raises(v3.exception.FileNotPresent):
        contents(bucket, "file")
    bucket.unhide_file("file")
    assert contents(bucket, "file") == b"first"
    second = bucket.upload_bytes(b"second", "file")
    second.delete()
    assert contents(bucket, "file") == b"first"
    with pytest.raises(v3.exception.FileNotPresent):
        b2_api(b2).delete_file_version(second.id_, "file")
    with pytest.raises(v3.exception.FileNotPresent):
        b2_api(b2).delete_file_version(first.id_, "other name")
    first.delete()
    with pytest.raises(v3.exception.FileNotPresent):
        bucket.hide_file("file")
    with pytest.raises(v3.exception.FileNotPresent):
        b2_api(b2).get_file_info(first.id_)


def test_uploads_are_verified(bucket: Any) -> None:
    digest = hashlib.sha1(b"bytes").hexdigest()
    stored = bucket.upload_bytes(b"bytes", "file", file_info={"colour": "blau & grün"})
    assert stored.content_sha1 == digest
    info = bucket.get_file_info_by_name("file")
    assert info.file_info == {"colour": "blau & grün"}
    assert (info.size, info.content_sha1) == (5, digest)
    assert b2_file_info(bucket, stored.id_)["fileInfo"] == {"colour": "blau & grün"}


def b2_file_info(bucket: Any, file_id: str) -> dict[str, Any]:
    info: dict[str, Any] = bucket.api.get_file_info(file_id).as_dict()
    return info


def test_a_wrong_sha1_is_refused_and_nothing_is_stored(b2: StandIn, bucket: Any) -> None:
    session = bucket.api.session
    upload = session.get_upload_url(bucket.id_)
    with pytest.raises(v3.exception.BadRequest, match="Sha1 did not match"):
        bucket.api.raw_api.upload_file(
            upload["uploadUrl"], upload["authorizationToken"], "file", 5, "text/plain",
            "0" * 40, {}, BytesIO(b"bytes"),
        )  # fmt: skip
    assert versions(b2) == []
    unverified = bucket.api.raw_api.upload_file(
        upload["uploadUrl"], upload["authorizationToken"], "file", 5, "text/plain",
        "do_not_verify", {}, BytesIO(b"bytes"),
    )  # fmt: skip
    assert unverified["contentSha1"] == f"unverified:{hashlib.sha1(b'bytes').hexdigest()}"
    assert list((b2.data_dir / "bodies").rglob("*/*")) != []


def test_large_files_by_b2sdk(b2: StandIn, bucket: Any) -> None:
    data = bytes(range(256)) * (12 * MIB // 256)
    stored = bucket.create_file(
        [v3.WriteIntent(v3.UploadSourceBytes(data))],
        "large",
        recommended_upload_part_size=MINIMUM_PART,
        min_part_size=MINIMUM_PART,
    )
    assert (stored.size, stored.content_sha1) == (len(data), "none")
    assert b2.stats()["calls"]["b2_upload_part"] >= 2
    assert b2.stats()["bytes_uploaded"] == len(data)
    assert contents(bucket, "large") == data
    assert abs(stored.upload_timestamp / 1000 - b2.now()) < 60


def test_parts_are_listed_checked_and_cancelled(b2: StandIn, bucket: Any) -> None:
    session = bucket.api.session
    file_id = session.start_large_file(bucket.id_, "large", "b2/x-auto", {})["fileId"]
    part = b"p" * MINIMUM_PART
    sha1 = hashlib.sha1(part).hexdigest()
    for number in (1, 2):
        session.upload_part(file_id, number, len(part), sha1, BytesIO(part))
    session.upload_part(file_id, 3, 3, hashlib.sha1(b"end").hexdigest(), BytesIO(b"end"))
    assert [item.part_number for item in bucket.api.list_parts(file_id, batch_size=2)] == [1, 2, 3]
    with pytest.raises(v3.exception.MissingPart):
        session.finish_large_file(file_id, [sha1, sha1])
    with pytest.raises(v3.exception.PartSha1Mismatch):
        session.finish_large_file(file_id, [sha1, sha1, sha1])
    session.cancel_large_file(file_id)
    assert versions(b2) == []
    with pytest.raises(v3.exception.BadRequest, match="No active upload"):
        session.cancel_large_file(file_id)

    small = session.start_large_file(bucket.id_, "small parts", "b2/x-auto", {})["fileId"]
    digest = hashlib.sha1(b"end").hexdigest()
    for number in (1, 2):
        session.upload_part(small, number, 3, digest, BytesIO(b"end"))
    with pytest.raises(v3.exception.BadRequest, match="smaller than"):
        session.finish_large_file(small, [digest, digest])


def test_unfinished_files_are_listed_in_pages_and_by_prefix(bucket: Any) -> None:
    session = bucket.api.session
    for name in ("a/1", "a/2", "b/1"):
        session.start_large_file(bucket.id_, name, "b2/x-auto", {})
    names = [item.file_name for item in bucket.list_unfinished_large_files(batch_size=1)]
    assert sorted(names) == ["a/1", "a/2", "b/1"]
    below = [item.file_name for item in bucket.list_unfinished_large_files(prefix="a/")]
    assert sorted(below) == ["a/1", "a/2"]
    # An unfinished upload neither shows among the names nor hides a good one.
    bucket.upload_bytes(b"good", "a/1")
    session.start_large_file(bucket.id_, "a/1", "b2/x-auto", {})
    assert [item.file_name for item, _f in bucket.ls(recursive=True)] == ["a/1"]
    assert contents(bucket, "a/1") == b"good"


def test_copies_keep_or_replace_metadata_and_take_ranges(b2: StandIn, bucket: Any) -> None:
    source = bucket.upload_bytes(
        b"0123456789", "source", content_type="text/plain", file_info={"a": "b"}
    )
    other = b2_api(b2).create_bucket("other-bucket", "allPrivate")
    copied = other.copy(source.id_, "copied")
    assert (copied.content_type, copied.file_info) == ("text/plain", {"a": "b"})
    assert copied.content_sha1 == source.content_sha1
    replaced = bucket.copy(
        source.id_, "part", offset=2, length=3, content_type="image/png", file_info={"c": "d"}
    )
    assert (replaced.content_type, replaced.file_info) == ("image/png", {"c": "d"})
    assert replaced.content_sha1 == hashlib.sha1(b"234").hexdigest()
    source.delete()
    assert contents(other, "copied") == b"0123456789"
    assert contents(bucket, "part") == b"234"


def test_ranges_of_a_download(bucket: Any) -> None:
    bucket.upload_bytes(b"0123456789", "file")
    for first, last, expected in ((0, 0, b"0"), (3, 5, b"345"), (8, 9, b"89")):
        target = BytesIO()
        bucket.download_file_by_name("file", range_=(first, last)).save(target)
        assert target.getvalue() == expected
    with pytest.raises(v3.exception.UnsatisfiableRange):
        bucket.download_file_by_name("file", range_=(10, 12))


def test_object_lock_protects_a_version(b2: StandIn) -> None:
    api = b2_api(b2)
    bucket = api.create_bucket("locked-bucket", "allPrivate", is_file_lock_enabled=True)
    bucket.update(
        default_retention=v3.BucketRetentionSetting(
            v3.RetentionMode.GOVERNANCE, v3.RetentionPeriod(days=10)
        )
    )
    stored = bucket.upload_bytes(b"x", "file")
    retention = bucket.get_file_info_by_name("file").file_retention
    assert retention.mode == v3.RetentionMode.GOVERNANCE
    assert retention.retain_until == stored.upload_timestamp + 10 * 86_400_000
    with pytest.raises(v3.exception.AccessDenied):
        api.delete_file_version(stored.id_, "file")
    api.update_file_legal_hold(stored.id_, "file", v3.LegalHold.ON)
    b2.advance_clock(11 * 86_400)
    with pytest.raises(v3.exception.AccessDenied):
        api.delete_file_version(stored.id_, "file")
    api.update_file_legal_hold(stored.id_, "file", v3.LegalHold.OFF)
    api.delete_file_version(stored.id_, "file")
    assert b2.files("locked-bucket") == []
    with pytest.raises(v3.exception.DisablingFileLockNotSupported):
        bucket.update(is_file_lock_enabled=False)


def test_a_download_authorization_opens_its_prefix_only(b2: StandIn, bucket: Any) -> None:
    bucket.upload_bytes(b"shared", "open/file")
    bucket.upload_bytes(b"secret", "shut/file")
    token = bucket.get_download_authorization("open/", 60)
    raw, url = bucket.api.raw_api, bucket.api.account_info.get_download_url()

    def fetch(name: str) -> bytes:
        with raw.download_file_from_url(token, f"{url}/file/{BUCKET}/{name}") as response:
            content: bytes = response.content
            return content

    assert fetch("open/file") == b"shared"
    with pytest.raises(v3.exception.Unauthorized):
        fetch("shut/file")
    b2.advance_clock(61)
    with pytest.raises(v3.exception.InvalidAuthToken):
        fetch("open/file")
