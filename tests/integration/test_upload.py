# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night sends: only the difference when it knows the bucket, and the same content always."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from b2_standin.tests.support import b2_api

from .night_host import BUCKET, PREFIX, TIMEOUT_SECONDS, NightHost, differences
from .waits import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

# B2 answers a listing with at most 1,000 names.
NAMES_PER_CALL = 1000


def in_bucket(host: NightHost) -> dict[str, str]:
    """Path and SHA-256 of everything below daily/, read through crypt."""
    listing = host.rclone("hashsum", "sha256", "--download", "b2-encrypted:daily")
    return {line[66:]: line[:64] for line in listing.splitlines()}


def in_staging(host: NightHost) -> dict[str, str]:
    """The same of what is staged; hard links and odd names travel once, under one name."""
    daily = host.ssd / "backup-staging/daily"
    command = ["find", ".", "-type", "f", "-exec", "sha256sum", "-z", "{}", "+"]
    found = subprocess.run(command, cwd=daily, check=True, capture_output=True).stdout
    lines = [line.decode() for line in found.split(b"\0") if line]
    return {line[68:]: line[:64] for line in lines}


def assert_bucket_is_staging(host: NightHost) -> None:
    staged, stored = in_staging(host), in_bucket(host)
    assert stored.items() <= staged.items()
    # What is not there under its own name: the second name of a hard link, and one odd name.
    assert sorted(Path(name).name for name in staged.keys() - stored.keys()) in (
        [],
        ["001", "odd\nname \\"],
        ["again", "odd\nname \\"],
    )


def change_some(host: NightHost, number: int) -> None:
    """New, changed, removed, renamed files; a file that becomes a directory; a new mtime."""
    base = host.volumes / "db/_data/base"
    (base / f"new-{number}").write_bytes(os.urandom(300))
    (base / "010").write_bytes(f"changed {number}".encode())
    (base / f"{20 + number:03d}").unlink()
    (base / f"{30 + number:03d}").rename(base / f"renamed-{number}")
    directory = base / f"{40 + number:03d}"
    directory.unlink()
    directory.mkdir()
    (directory / "inside").write_bytes(b"inside")
    os.utime(base / "011", (1_000_000 + number, 1_000_000 + number))


def test_only_the_difference_is_sent_and_the_bucket_is_the_same(host: NightHost) -> None:
    assert host.night()["upload"]["reconciled"] is True
    assert_bucket_is_staging(host)
    for number in (1, 2):
        change_some(host, number)
        time.sleep(1.1)
        host.stand_in.reset_stats()
        sent = host.night()["upload"]
        assert sent["reconciled"] is False
        assert (sent["files"], sent["hidden"]) == (5, 3)
        assert host.stand_in.stats()["calls"]["b2_hide_file"] == 3
        assert_bucket_is_staging(host)

    # A full comparison finds nothing to do: the same bucket content either way.
    (host.state / "bucket.json").unlink()
    sent = host.night()["upload"]
    assert sent == {"files": 0, "bytes": 0, "hidden": 0, "reconciled": True}


def test_a_lost_or_damaged_state_is_no_loss(host: NightHost) -> None:
    host.night()
    (host.state / "uploaded.jsonl.gz").write_bytes(b"{")
    (host.volumes / "db/_data/base/010").write_bytes(b"after the damage")
    time.sleep(1.1)
    sent = host.night()["upload"]
    assert (sent["files"], sent["reconciled"]) == (1, True)
    # Another board, or another SD card.
    for path in host.state.glob("*.json*"):
        path.unlink()
    (host.volumes / "db/_data/base/010").write_bytes(b"after the loss of everything")
    time.sleep(1.1)
    sent = host.night()["upload"]
    assert (sent["files"], sent["reconciled"]) == (1, True)
    assert_bucket_is_staging(host)


@pytest.mark.parametrize("call", ["b2_upload_file", "b2_hide_file"])
def test_a_night_killed_while_it_changes_the_bucket_is_made_up_for(
    host: NightHost, call: str
) -> None:
    host.night()
    for number in range(5):
        change_some(host, number)
    time.sleep(1.1)
    with (
        host.held(call, skip=3) as is_held,
        subprocess.Popen(host.command("run"), stderr=subprocess.DEVNULL) as run,
    ):
        wait_for(is_held, f"the night is in a {call}", run)
        run.send_signal(signal.SIGKILL)
        assert run.wait(timeout=TIMEOUT_SECONDS) == -signal.SIGKILL
    change_some(host, 6)
    time.sleep(1.1)
    sent = host.night()["upload"]
    assert sent["reconciled"] is True
    assert_bucket_is_staging(host)
    assert host.night()["upload"] == {"files": 0, "bytes": 0, "hidden": 0, "reconciled": False}


def test_an_upload_that_fails_in_part_is_finished_by_a_comparison(host: NightHost) -> None:
    host.night()
    for number in range(3):
        change_some(host, number)
    time.sleep(1.1)
    # A plain 400 is not tried again by rclone: this file's upload has failed.
    rule = host.stand_in.fault("unauthorized", "b2_hide_file", count=1)
    record = host.program("run", "--json")
    assert record.returncode in (0, 1)
    assert host.stand_in.has_fired(rule)
    assert host.night()["outcome"] == "ok"
    assert_bucket_is_staging(host)


def test_calls_that_were_done_and_whose_answers_were_lost_cost_no_night(host: NightHost) -> None:
    host.night()
    change_some(host, 1)
    time.sleep(1.1)
    api = b2_api(host.stand_in)
    bucket = api.get_bucket_by_name(BUCKET)
    for name in ("one", "two"):
        api.session.start_large_file(bucket.id_, f"{PREFIX}/{name}", "b2/x-auto", {})
    for call in (
        "b2_authorize_account",
        "b2_list_unfinished_large_files",
        "b2_cancel_large_file",
        "b2_upload_file",
        "b2_hide_file",
    ):
        host.stand_in.fault("lost_response", call)
    sent = host.night()["upload"]
    assert (sent["files"], sent["hidden"]) == (5, 3)
    assert all(rule["fired"] for rule in host.stand_in.faults())
    assert "start" not in {version["action"] for version in host.stand_in.files(BUCKET)}
    assert_bucket_is_staging(host)


def test_a_bucket_that_lost_a_file_is_found_out_by_the_count(host: NightHost) -> None:
    host.night()
    victim = host.stand_in.files(BUCKET)[5]["fileName"]
    host.stand_in.damage(BUCKET, victim, kind="vanish")
    failed = host.program("run")
    assert failed.returncode == 1
    assert "the bucket holds" in failed.stderr
    sent = host.night()["upload"]
    assert (sent["reconciled"], sent["files"]) == (True, 1)
    assert_bucket_is_staging(host)


def test_too_many_deletions_are_refused(host: NightHost) -> None:
    many = host.volumes / "many"
    many.mkdir()
    for number in range(100):
        (many / str(number)).write_bytes(b"1")
    host.night()
    # As many files as before, in another tree, and no guard against a source that shrinks.
    shutil.move(many, host.compose / "moved")
    host.write_config(guards={**host.config()["guards"], "shrink_percent_max": 100})
    time.sleep(1.1)
    for state in ("known", "unknown"):
        if state == "unknown":
            (host.state / "bucket.json").unlink()
        failed = host.program("run")
        assert failed.returncode == 1
        assert "delete_percent_max" in failed.stderr
        assert "--accept-shrink" in failed.stderr
        assert "100 files of the bucket would be hidden" in failed.stderr
        assert len(in_bucket(host)) == 162
    assert host.night("--accept-shrink")["outcome"] == "ok"
    assert_bucket_is_staging(host)
    volumes = host.directory / "restored"
    done = host.program("restore", "daily", "--yes", "--target", str(volumes))
    assert done.returncode == 0, done.stderr
    assert differences(host.volumes, volumes / f"docker-volumes{host.volumes}") == ""


def test_a_night_with_nothing_changed_costs_few_calls(host: NightHost) -> None:
    many = host.volumes / "many"
    for number in range(1000):
        directory = many / str(number // 50)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).write_bytes(b"1")
    files = host.night()["upload"]["files"]
    time.sleep(1.1)
    host.stand_in.reset_stats()
    record = host.night()
    stats = host.stand_in.stats()
    assert record["upload"] == {"files": 0, "bytes": 0, "hidden": 0, "reconciled": False}
    pages = -(-files // NAMES_PER_CALL)
    # 20 pages for 20,000 files: 40 calls in all, the check that the bucket is whole included.
    assert stats["calls_total"] - pages <= 20, json.dumps(stats["calls"])
    of_class_c = {"b2_authorize_account", "b2_list_file_names", "b2_list_unfinished_large_files"}
    free = {"b2_get_upload_url", "b2_upload_file"}
    of_class_b = {"b2_download_file_by_name"}
    assert set(stats["calls"]) <= of_class_c | free | of_class_b
