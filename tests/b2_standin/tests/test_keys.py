# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: what a restricted one may do, expired tokens, revoked and expiring keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from b2sdk import v3

from b2_standin.client import StandIn
from b2_standin.tests.support import (
    BUCKET,
    Rclone,
    b2_api,
    b2_api_v2,
    make_tree,
    tree_digests,
    versions,
    write_file,
)

NIGHT_KEY = ("listFiles", "readFiles", "writeFiles")
FAIL_FAST = ("--low-level-retries", "1")


@pytest.mark.parametrize("prefix", ["host/", "host"])
def test_a_night_key_does_the_night_and_nothing_else(
    b2: StandIn, tmp_path: Path, prefix: str
) -> None:
    rclone = Rclone(b2, b2.make_key(NIGHT_KEY, BUCKET, prefix))
    owner = Rclone(b2)
    source = make_tree(tmp_path / "source")
    rclone("sync", source, "crypt:daily")
    (source / "plain.txt").unlink()
    rclone("sync", source, "crypt:daily")
    rclone("cryptcheck", source, "crypt:daily")
    rclone("copy", "crypt:daily", "crypt:weekly")
    rclone("copy", "crypt:weekly", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)

    before = versions(b2)
    owner("copy", write_file(tmp_path / "secret", 10), f"b2:{BUCKET}/other")
    for refused in (
        ("purge", "crypt:daily"),
        ("delete", "--b2-hard-delete", "crypt:daily"),
        ("cleanup", f"b2:{BUCKET}/host"),
        ("lsf", f"b2:{BUCKET}"),
        ("lsf", f"b2:{BUCKET}/other"),
        ("cat", f"b2:{BUCKET}/other/secret"),
        ("copy", source, f"b2:{BUCKET}/other"),
        ("backend", "lifecycle", f"b2:{BUCKET}", "-o", "daysFromHidingToDeleting=1"),
    ):
        failed = rclone(*refused, *FAIL_FAST, check=False)
        assert failed.returncode != 0, refused
        assert "401" in failed.stderr, refused
    assert versions(b2, "host/") == before


def test_a_reading_key_restores_and_writes_nothing(b2: StandIn, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    Rclone(b2)("sync", source, "crypt:daily")
    rclone = Rclone(b2, b2.make_key(("listFiles", "readFiles"), BUCKET, "host/"))
    rclone("copy", "crypt:daily", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)
    before = versions(b2)
    write_file(source / "new", 10)
    assert rclone("copy", source, "crypt:daily", *FAIL_FAST, check=False).returncode != 0
    assert versions(b2) == before


def test_an_expired_token_renews_itself_in_the_middle_of_a_sync(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source")
    b2.fault("expired_token", "b2_upload_file", skip=1, count=2)
    b2.fault("expired_token", "b2_list_file_names", count=1)
    rclone("sync", source, "crypt:daily")
    assert b2.stats()["errors"] == {"expired_auth_token": 3, "not_found": 1}
    rclone("cryptcheck", source, "crypt:daily")


def test_tokens_expire_with_the_clock_and_b2sdk_gets_new_ones(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    bucket.upload_bytes(b"1", "one")

    def log_ins_of_a_listing() -> int:
        b2.reset_stats()
        assert [item.file_name for item, _folder in bucket.ls()] == ["one"]
        return int(b2.stats()["calls"].get("b2_authorize_account", 0))

    b2.advance_clock(23 * 3600)
    assert log_ins_of_a_listing() == 0
    b2.advance_clock(2 * 3600)
    assert log_ins_of_a_listing() == 1
    assert b2.stats()["errors"] == {"expired_auth_token": 1}
    assert b2.expire_tokens() > 0
    assert log_ins_of_a_listing() == 1


def test_a_revoked_key_is_refused_at_once_with_its_tokens(b2: StandIn, tmp_path: Path) -> None:
    key = b2.make_key(NIGHT_KEY, BUCKET, "host/")
    rclone = Rclone(b2, key)
    rclone("copy", write_file(tmp_path / "file", 10), "crypt:x")
    bucket = b2_api(b2, key).get_bucket_by_name(BUCKET)
    bucket.upload_bytes(b"1", "host/one")
    before = versions(b2)
    b2.delete_key(key)
    failed = rclone("copy", write_file(tmp_path / "file2", 10), "crypt:x", *FAIL_FAST, check=False)
    assert failed.returncode == 1
    assert "401 unauthorized" in failed.stderr
    with pytest.raises(v3.exception.Unauthorized):
        list(bucket.ls("host"))
    assert versions(b2) == before


def test_a_key_expires_at_its_time(b2: StandIn) -> None:
    key = b2.make_key(expires=3600)
    api = b2_api(b2, key)
    assert [item.id_ for item in api.list_keys()] == [key.application_key_id]
    b2.advance_clock(3601)
    with pytest.raises(v3.exception.Unauthorized):
        list(api.list_keys())
    with pytest.raises(v3.exception.Unauthorized):
        b2_api(b2, key)
    assert list(b2_api(b2).list_keys()) == []


def test_b2sdk_makes_lists_and_deletes_keys(b2: StandIn) -> None:
    api = b2_api(b2)
    bucket = api.get_bucket_by_name(BUCKET)
    key = api.create_key(
        list(NIGHT_KEY), "night", 7200, bucket_ids=[bucket.id_], name_prefix="host/"
    )
    assert key.as_dict()["capabilities"] == list(NIGHT_KEY)
    (listed,) = api.list_keys()
    assert (listed.id_, listed.bucket_ids, listed.name_prefix) == (key.id_, [bucket.id_], "host/")
    made = b2_api(b2, type(b2.master_key)(key.id_, key.application_key))
    assert made.account_info.get_allowed() == {
        "buckets": [{"id": bucket.id_, "name": BUCKET}],
        "capabilities": list(NIGHT_KEY),
        "namePrefix": "host/",
    }
    api.delete_key(listed)
    assert list(api.list_keys()) == []
    with pytest.raises(v3.exception.Unauthorized):
        b2_api(b2, type(b2.master_key)(key.id_, key.application_key))


def test_write_keys_grants_everything_that_there_is(b2: StandIn) -> None:
    # As B2 documents it: whoever may make keys may do all.
    api = b2_api(b2, b2.make_key(("writeKeys",)))
    assert api.create_key(["deleteFiles"], "more").as_dict()["capabilities"] == ["deleteFiles"]
    with pytest.raises(v3.exception.B2Error, match="capability"):
        b2_api(b2).create_key(["flyToTheMoon"], "moon")


def test_the_older_interface_of_b2sdk_logs_in_with_version_3(b2: StandIn) -> None:
    key = b2.make_key((*NIGHT_KEY, "listBuckets"), BUCKET, "host/")
    api = b2_api_v2(b2, key)
    allowed = api.account_info.get_allowed()
    assert (allowed["bucketName"], allowed["namePrefix"]) == (BUCKET, "host/")
    api.get_bucket_by_name(BUCKET).upload_bytes(b"1", "host/one")
    assert versions(b2) == [("host/one", "upload")]


def test_a_restricted_key_must_name_its_bucket(b2: StandIn) -> None:
    b2.make_bucket("other-bucket")
    api = b2_api(b2, b2.make_key((*NIGHT_KEY, "listBuckets"), BUCKET))
    assert api.get_bucket_by_name(BUCKET).name == BUCKET
    with pytest.raises(v3.exception.B2Error):
        api.list_buckets()
    with pytest.raises(v3.exception.B2Error):
        api.get_bucket_by_name("other-bucket")
