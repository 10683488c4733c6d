# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old versions: --b2-version-at, the moved clock, lifecycle rules, unfinished uploads."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from b2_standin.client import StandIn
from b2_standin.tests.support import BUCKET, MIB, Rclone, b2_api, versions, write_file

DAY_SECONDS = 86_400
KEEP_30_DAYS = {"fileNamePrefix": "", "daysFromHidingToDeleting": 30}


def moment(b2: StandIn) -> str:
    """Now, on the stand-in's clock, for --b2-version-at; nothing later has this timestamp."""
    time.sleep(0.005)
    now = datetime.fromtimestamp(b2.now(), timezone.utc)
    time.sleep(0.005)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(rclone: Rclone, at: str, path: str) -> str:
    return rclone("cat", "--b2-version-at", at, path).stdout


def set_rules(b2: StandIn, *rules: dict[str, object]) -> None:
    b2_api(b2).get_bucket_by_name(BUCKET).update(lifecycle_rules=list(rules))


@pytest.mark.parametrize("remote", [f"b2:{BUCKET}/x", "crypt:x"])
def test_version_at_shows_what_was_before_an_overwrite_and_a_deletion(
    b2: StandIn, rclone: Rclone, tmp_path: Path, remote: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "note").write_text("first")
    before_all = moment(b2)
    rclone("sync", source, remote)
    after_first = moment(b2)
    (source / "note").write_text("second, longer")
    (source / "new").write_text("new")
    rclone("sync", source, remote)
    after_second = moment(b2)
    (source / "note").unlink()
    rclone("sync", source, remote)
    assert rclone("lsf", remote).stdout == "new\n"
    assert rclone("lsf", "--b2-version-at", before_all, remote, check=False).stdout == ""
    assert rclone("lsf", "--b2-version-at", after_first, remote).stdout == "note\n"
    assert read(rclone, after_first, f"{remote}/note") == "first"
    assert rclone("lsf", "--b2-version-at", after_second, remote).stdout == "new\nnote\n"
    assert read(rclone, after_second, f"{remote}/note") == "second, longer"


def test_lifecycle_deletes_replaced_versions_after_their_days(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    set_rules(b2, KEEP_30_DAYS)
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_text("never changed")
    (source / "note").write_text("first")
    rclone("sync", source, f"b2:{BUCKET}")
    after_first = moment(b2)
    b2.advance_clock(10 * DAY_SECONDS)
    (source / "note").write_text("second, longer")
    rclone("sync", source, f"b2:{BUCKET}")
    after_second = moment(b2)

    b2.advance_clock(29 * DAY_SECONDS)
    assert read(rclone, after_first, f"b2:{BUCKET}/note") == "first"
    assert b2.advance_clock(2 * DAY_SECONDS)["deleted"] == 1
    assert rclone("lsf", "--b2-version-at", after_first, f"b2:{BUCKET}").stdout == "kept\n"
    assert read(rclone, after_second, f"b2:{BUCKET}/note") == "second, longer"

    (source / "note").unlink()
    rclone("sync", source, f"b2:{BUCKET}")
    b2.advance_clock(29 * DAY_SECONDS)
    assert versions(b2, "note") == [("note", "hide"), ("note", "upload")]
    assert b2.advance_clock(2 * DAY_SECONDS)["deleted"] == 2
    assert versions(b2) == [("kept", "upload")]
    assert read(rclone, moment(b2), f"b2:{BUCKET}/kept") == "never changed"


def test_lifecycle_hides_after_upload_and_only_below_its_prefix(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    set_rules(
        b2,
        {"fileNamePrefix": "old/", "daysFromUploadingToHiding": 5, "daysFromHidingToDeleting": 3},
    )
    file = write_file(tmp_path / "file", 10)
    rclone("copy", file, f"b2:{BUCKET}/old")
    rclone("copy", file, f"b2:{BUCKET}/other")
    b2.advance_clock(4 * DAY_SECONDS)
    assert versions(b2, "old/") == [("old/file", "upload")]
    b2.advance_clock(2 * DAY_SECONDS)
    assert versions(b2, "old/") == [("old/file", "hide"), ("old/file", "upload")]
    b2.advance_clock(4 * DAY_SECONDS)
    assert versions(b2) == [("other/file", "upload")]


def test_without_lifecycle_a_moved_clock_deletes_nothing(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    set_rules(b2, KEEP_30_DAYS)
    for size in (10, 20):
        rclone("copy", write_file(tmp_path / "file", size), f"b2:{BUCKET}")
    b2.advance_clock(60 * DAY_SECONDS, lifecycle=False)
    assert len(versions(b2)) == 2
    assert b2.apply_lifecycle() == {"hidden": 0, "deleted": 1, "cancelled": 0}
    b2.set_clock(1_800_000_000)
    rclone("copy", write_file(tmp_path / "later", 5), f"b2:{BUCKET}")
    (later,) = b2.files(BUCKET, "later")
    assert 0 <= later["uploadTimestamp"] - 1_800_000_000_000 < 60_000


def killed_upload(b2: StandIn, rclone: Rclone, source: Path) -> None:
    """A multipart upload of rclone's that kill -9 ends in the middle."""
    b2.fault("delay", "b2_upload_part", skip=1, count=0, seconds=10)
    flags = ("--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M", "--b2-upload-concurrency", "1")
    process = rclone.popen("copy", source, f"b2:{BUCKET}", *flags)
    deadline = time.monotonic() + 240
    while not b2.faults()[0]["fired"]:
        assert time.monotonic() < deadline, "the second part didn't begin"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=240)
    b2.clear_faults()


def test_an_unfinished_upload_hides_the_good_version_from_version_at(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    rclone("copy", write_file(tmp_path / "big.bin", 1000), f"b2:{BUCKET}")
    killed_upload(b2, rclone, write_file(tmp_path / "big.bin", 12 * MIB))
    assert versions(b2) == [("big.bin", "start"), ("big.bin", "upload")]
    now = moment(b2)
    assert rclone("size", f"b2:{BUCKET}").stdout.splitlines()[1].endswith("(1000 Byte)")
    assert (
        not rclone("size", "--b2-version-at", now, f"b2:{BUCKET}")
        .stdout.splitlines()[1]
        .endswith("(1000 Byte)")
    )

    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    (unfinished,) = bucket.list_unfinished_large_files()
    assert unfinished.file_name == "big.bin"
    bucket.cancel_large_file(unfinished.file_id)
    assert list(bucket.list_unfinished_large_files()) == []
    assert versions(b2) == [("big.bin", "upload")]
    assert (
        rclone("size", "--b2-version-at", now, f"b2:{BUCKET}")
        .stdout.splitlines()[1]
        .endswith("(1000 Byte)")
    )


def test_lifecycle_cancels_unfinished_uploads(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    set_rules(b2, {"fileNamePrefix": "", "daysFromStartingToCancelingUnfinishedLargeFiles": 1})
    killed_upload(b2, rclone, write_file(tmp_path / "big.bin", 12 * MIB))
    assert b2.advance_clock(DAY_SECONDS // 2)["cancelled"] == 0
    assert b2.advance_clock(DAY_SECONDS)["cancelled"] == 1
    assert versions(b2) == []
    assert not any(path.is_file() for path in (b2.data_dir / "bodies").rglob("*"))
