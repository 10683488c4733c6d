# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injected faults as the real clients meet them, and damage to stored bytes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from b2sdk import v3

from b2_standin import shaping
from b2_standin.client import StandIn, StandInError
from b2_standin.tests.support import (
    BUCKET,
    MIB,
    Rclone,
    b2_api,
    contents,
    make_tree,
    tree_digests,
    versions,
    write_file,
)

CAP_EXIT_CODE = 7  # rclone: a fatal error, no retry will mend it
PARTS_OF_5_MIB = ("--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M")


def test_a_storm_of_503_and_429_is_survived(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    b2.fault("service_unavailable", "b2_upload_file", every=3, count=2, retry_after_seconds=0)
    b2.fault("too_many_requests", "b2_get_upload_url", count=2, retry_after_seconds=0)
    b2.fault("internal_error", "b2_list_file_names")
    rclone("sync", source, f"b2:{BUCKET}/x")
    errors = b2.stats()["errors"]
    assert errors["service_unavailable"] == 2
    assert errors["too_many_requests"] == 2
    assert errors["internal_error"] == 1
    rclone("check", "--download", source, f"b2:{BUCKET}/x")


def test_retry_after_is_obeyed(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    b2.fault("service_unavailable", "b2_get_upload_url", retry_after_seconds=2)
    began = time.monotonic()
    rclone("copy", write_file(tmp_path / "file", 10), f"b2:{BUCKET}")
    assert time.monotonic() - began >= 2


def test_a_rule_fires_by_number(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    b2.fault("delay", "b2_hide_file", skip=2, every=3, count=2)
    for number in range(12):
        bucket.upload_bytes(b"x", f"file-{number}")
        bucket.hide_file(f"file-{number}")
        (rule,) = b2.faults()
        # calls 3 and 6, then the rule is spent
        assert rule["fired"] == (number >= 2) + (number >= 5)
    with pytest.raises(StandInError, match="kind must be one of"):
        b2.fault("earthquake")


@pytest.mark.parametrize("code", ["cap_exceeded", "storage_cap_exceeded"])
def test_cap_exceeded_ends_rclone_with_7(
    b2: StandIn, rclone: Rclone, tmp_path: Path, code: str
) -> None:
    b2.fault("cap_exceeded", ["b2_upload_file", "b2_start_large_file"], count=0, code=code)
    failed = rclone("copy", write_file(tmp_path / "file", 10), f"b2:{BUCKET}", check=False)
    assert failed.returncode == CAP_EXIT_CODE
    assert f"403 {code}" in failed.stderr
    assert versions(b2) == []


def test_cap_exceeded_in_b2sdk(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    b2.fault("cap_exceeded", "b2_upload_file", code="storage_cap_exceeded")
    with pytest.raises(v3.exception.StorageCapExceeded):
        bucket.upload_bytes(b"x", "file")


def test_a_reset_on_the_way_up_costs_one_part(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "big.bin", 25 * MIB).parent
    b2.fault("reset", "b2_upload_part", skip=1, after_bytes=MIB)
    rclone("copy", source, f"b2:{BUCKET}", *PARTS_OF_5_MIB)
    stats = b2.stats()
    assert stats["statuses"]["0"] == 1
    assert stats["calls"]["b2_upload_part"] == 6
    assert 25 * MIB < stats["bytes_uploaded"] <= 26 * MIB
    rclone("check", "--download", source, f"b2:{BUCKET}")


def test_a_reset_on_the_way_down_is_resumed(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "big.bin", 10 * MIB).parent
    rclone("copy", source, f"b2:{BUCKET}")
    b2.reset_stats()
    b2.fault("reset", "b2_download_file_by_id", after_bytes=6 * MIB)
    rclone("copy", f"b2:{BUCKET}", tmp_path / "restored", "--multi-thread-streams", "0")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)
    stats = b2.stats()
    assert stats["calls"]["b2_download_file_by_id"] == 2
    assert (stats["statuses"]["0"], stats["statuses"]["206"]) == (1, 1)


def test_a_reset_of_a_small_call_and_a_lost_answer(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    b2.fault("reset", "b2_list_file_names")
    assert list(bucket.ls()) == []
    b2.fault("lost_response", "b2_upload_file")
    bucket.upload_bytes(b"x", "file")
    # The first upload was stored, though its answer never came: b2sdk sent the file again.
    assert versions(b2) == [("file", "upload"), ("file", "upload")]


def test_faults_of_a_key_or_a_name_touch_nothing_else(b2: StandIn) -> None:
    victim, other = b2.make_key(), b2.make_key()
    b2.fault("revoked", key_id=victim.application_key_id, count=0)
    b2.fault("internal_error", "b2_download_file_by_name", name_contains="bad", count=0)
    with pytest.raises(v3.exception.Unauthorized):
        b2_api(b2, victim)
    bucket = b2_api(b2, other).get_bucket_by_name(BUCKET)
    for name in ("good", "bad"):
        bucket.upload_bytes(name.encode(), name)
    assert contents(bucket, "good") == b"good"
    assert b2.stats()["errors"] == {"unauthorized": 1}
    b2.clear_faults()
    assert contents(bucket, "bad") == b"bad"


def test_a_slow_link_is_no_slower_than_it_is_told_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

        @staticmethod
        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

    monkeypatch.setattr(shaping, "time", Clock)
    shaper = shaping.Shaper()
    shaper.set(shaping.Link(bytes_per_second_total=2 * MIB))
    for _transfer in range(2):
        (pacer,), left, began = shaper.pacers(0), MIB, now
        while left:
            piece = min(left, shaper.piece_bytes(0))
            pacer.wait(piece)
            left -= piece
        assert now - began == pytest.approx(0.5)
        # What is sent later has saved up nothing meanwhile, and owes nothing.
        now += 10


def test_a_delay_ends_with_its_rule(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    rule = b2.fault("delay", "b2_upload_file", seconds=3600, count=0)
    process = rclone.popen("copy", write_file(tmp_path / "file", 10), f"b2:{BUCKET}")
    deadline = time.monotonic() + 240
    while not b2.has_fired(rule):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert versions(b2) == []
    b2.clear_faults()
    _out, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert versions(b2) == [("file", "upload")]


def test_a_slow_link_and_a_delay(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source" / "file", MIB).parent

    def seconds(*argv: str | Path) -> float:
        began = time.monotonic()
        rclone(*argv)
        return time.monotonic() - began

    b2.link(bytes_per_second_connection=2 * MIB)
    assert seconds("copy", source, f"b2:{BUCKET}/a") >= 0.5
    assert seconds("copy", f"b2:{BUCKET}/a", tmp_path / "down") >= 0.5
    assert tree_digests(tmp_path / "down") == tree_digests(source)
    write_file(source / "second", MIB)
    b2.link(bytes_per_second_total=2 * MIB)  # two transfers at once share it
    assert seconds("copy", source, f"b2:{BUCKET}/b") >= 1
    b2.link(delay_seconds=0.2)
    b2.reset_stats()
    took = seconds("lsf", f"b2:{BUCKET}/a")
    assert took >= 0.2 * b2.stats()["calls_total"] >= 0.6
    b2.link()
    b2.fault("delay", "b2_authorize_account", seconds=1)
    assert seconds("lsf", f"b2:{BUCKET}/a") >= 1


def test_a_flipped_byte_passes_cryptcheck_and_fails_every_download(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / "file", 100_000).parent
    rclone("copy", source, "crypt:daily")
    ((name, _action),) = versions(b2)
    rclone("copy", "crypt:daily", "crypt:copy")
    b2.damage(BUCKET, name, offset=50_000)
    assert "0 differences found" in rclone("cryptcheck", source, "crypt:daily").stderr
    assert "failed to authenticate decrypted block" in (
        rclone("cat", "crypt:daily/file", "--low-level-retries", "1", check=False).stderr
    )
    assert rclone("check", "--download", source, "crypt:daily", check=False).returncode == 1
    # A server-side copy shares bytes with its source, but not the damage.
    rclone("check", "--download", source, "crypt:copy")


def test_truncated_lost_and_vanished_files(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, name in enumerate(("whole", "cut", "lost", "gone")):
        write_file(source / name, 1000, number)
    rclone("copy", source, f"b2:{BUCKET}")
    b2.damage(BUCKET, "cut", "truncate", 400)
    b2.damage(BUCKET, "lost", "delete")
    b2.damage(BUCKET, "gone", "vanish")
    check = rclone("check", "--size-only", source, f"b2:{BUCKET}", check=False)
    assert "cut: sizes differ" in check.stderr
    assert "gone: file not in B2 bucket" in check.stderr
    assert "2 differences found" in check.stderr
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    assert contents(bucket, "whole") == (source / "whole").read_bytes()
    with pytest.raises(v3.exception.FileNotPresent):
        contents(bucket, "lost")
    with pytest.raises(StandInError, match="no such file"):
        b2.damage(BUCKET, "gone")
