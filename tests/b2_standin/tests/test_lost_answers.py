# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that B2 carried out and whose answers were lost: the client asks again, and then?"""

from __future__ import annotations

from pathlib import Path

import pytest
from b2sdk import v3

from b2_standin.client import StandIn
from b2_standin.tests.support import (
    BUCKET,
    MIB,
    Rclone,
    b2_api,
    tree_digests,
    versions,
    write_file,
)

SMALL_PARTS = ("--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M")


def test_a_small_upload_is_stored_twice(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "file", 1000).parent
    b2.fault("lost_response", "b2_upload_file")
    rclone("sync", source, f"b2:{BUCKET}")
    assert versions(b2) == [("file", "upload"), ("file", "upload")]
    rclone("check", "--download", source, f"b2:{BUCKET}")


def test_a_part_is_replaced(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "big", 12 * MIB).parent
    b2.fault("lost_response", "b2_upload_part", skip=1)
    rclone("sync", source, f"b2:{BUCKET}", *SMALL_PARTS)
    assert b2.stats()["calls"]["b2_upload_part"] == 4
    rclone("check", "--download", source, f"b2:{BUCKET}")


def test_a_second_start_leaves_an_unfinished_file_below(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / "big", 12 * MIB).parent
    b2.fault("lost_response", "b2_start_large_file")
    rclone("sync", source, f"b2:{BUCKET}", *SMALL_PARTS)
    assert versions(b2) == [("big", "upload"), ("big", "start")]
    rclone("check", "--download", source, f"b2:{BUCKET}")


def test_a_finished_file_can_not_be_finished_again_and_the_next_try_finds_it(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / "big", 12 * MIB).parent
    b2.fault("lost_response", "b2_finish_large_file")
    failed = rclone("sync", source, f"b2:{BUCKET}", *SMALL_PARTS, check=False)
    assert failed.returncode == 1
    assert "No active upload" in failed.stderr
    # rclone also tried to cancel it. It is there all the same, and nothing is sent again.
    assert versions(b2) == [("big", "upload")]
    b2.reset_stats()
    rclone("sync", source, f"b2:{BUCKET}", *SMALL_PARTS)
    assert b2.stats()["bytes_uploaded"] == 0
    rclone("check", "--download", source, f"b2:{BUCKET}")


def test_a_hidden_file_is_hidden_once(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "file", 1000).parent
    rclone("sync", source, f"b2:{BUCKET}")
    (source / "file").unlink()
    b2.fault("lost_response", "b2_hide_file")
    rclone("sync", source, f"b2:{BUCKET}")
    assert b2.stats()["errors"]["already_hidden"] == 1
    assert versions(b2) == [("file", "hide"), ("file", "upload")]


def test_a_copy_is_made_twice(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "file", 1000).parent
    rclone("copy", source, f"b2:{BUCKET}/daily")
    b2.fault("lost_response", "b2_copy_file")
    rclone("copy", f"b2:{BUCKET}/daily", f"b2:{BUCKET}/weekly")
    assert versions(b2, "weekly/") == [("weekly/file", "upload")] * 2


def test_a_cancelled_file_and_a_deleted_version_are_gone(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    stored = bucket.upload_bytes(b"x", "file")
    started = bucket.api.session.start_large_file(bucket.id_, "large", "b2/x-auto", {})
    b2.fault("lost_response", "b2_cancel_large_file")
    with pytest.raises(v3.exception.BadRequest, match="No active upload"):
        bucket.cancel_large_file(started["fileId"])
    b2.fault("lost_response", "b2_delete_file_version")
    with pytest.raises(v3.exception.FileNotPresent):
        bucket.delete_file_version(stored.id_, "file")
    assert versions(b2) == []


def test_a_lost_login_and_a_lost_listing_are_asked_again(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / "file", 1000).parent
    rclone("copy", source, f"b2:{BUCKET}")
    b2.fault("lost_response", ["b2_authorize_account", "b2_list_file_names"], count=2)
    rclone("copy", f"b2:{BUCKET}", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)
