# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weekly points, the list of points and what prune would do, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import load_config
from ansible_collections.lepotato.backup.plugins.module_utils.night.context import (
    Night,
    NightOptions,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.run import run_night
from ansible_collections.lepotato.backup.plugins.module_utils.night.run_record import RunRecord
from ansible_collections.lepotato.backup.plugins.module_utils.points import weekly_remote
from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import RunLog
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner

from .night_host import BUCKET, NightHost, differences, rclone_binary

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")


def weekly_today(host: NightHost, mode: str) -> str:
    """Make today the day of the weekly point; returns today's date."""
    today = datetime.now(timezone.utc).astimezone().date()
    host.write_config(weekly={"weekday": str(today.weekday()), "mode": mode})
    return today.isoformat()


@pytest.mark.parametrize("mode", ["reference", "copy"])
def test_a_weekly_point_outlives_the_changes_of_the_next_night(host: NightHost, mode: str) -> None:
    day = weekly_today(host, mode)
    (host.volumes / "large").write_bytes(os.urandom(4 * 1024**2))
    host.stand_in.reset_stats()
    record = host.night()
    assert (record["weekly"], record["snapshot"]) == (f"backup-{day}", f"backup-{day}")
    stats = host.stand_in.stats()
    files = record["upload"]["files"]
    assert stats["calls"].get("b2_copy_file", 0) == (files if mode == "copy" else 0)
    # Files, manifest, seal, weekly point: no byte of the data is sent a second time.
    assert stats["calls"]["b2_upload_file"] == files + 3
    assert stats["bytes_uploaded"] < record["upload"]["bytes"] + 32 * 1024

    snapshot = host.ssd / f"backup-staging/weekly/backup-{day}"
    staged = host.ssd / "backup-staging/daily"
    name = f"docker-volumes{host.volumes}/large"
    assert (snapshot / name).samefile(staged / name)
    assert sorted(os.listdir(snapshot)) == ["docker-compose", "docker-volumes"]
    assert differences(staged / "docker-volumes", snapshot / "docker-volumes") == ""

    before = host.directory / "before"
    subprocess.run(["cp", "-a", host.volumes, before], check=True)
    (host.volumes / "large").write_bytes(b"small now")
    (host.volumes / "db/_data/base/010").unlink()
    time.sleep(1.1)
    second = host.night()
    assert "weekly" not in second
    # The hard links moved the ctime of every staged file: nothing is read again for that.
    assert second["manifest"]["hashed_files"] == 1
    assert differences(before, snapshot / f"docker-volumes{host.volumes}") == ""

    for wanted in (("weekly",), ("weekly", day)):
        target = host.directory / "-".join(wanted)
        done = host.program("restore", *wanted, "--yes", "--target", str(target))
        assert done.returncode == 0, done.stderr
        assert differences(before, target / f"docker-volumes{host.volumes}") == ""

    listed = json.loads(host.program("snapshots", "--json").stdout)
    kinds = [point["kind"] for point in listed]
    assert kinds == ["daily", "daily", "weekly", "local weekly"]
    assert_told(listed[2], mode, record)
    assert listed[1]["restorable_until"] is None
    assert listed[0]["restorable_until"] is not None
    told = host.program("snapshots").stdout
    assert f"weekly/backup-{day}" in told
    assert str(snapshot) in told
    assert ("a copy of its own" in told) is (mode == "copy")

    verdicts = json.loads(host.program("prune", "--dry-run", "--json").stdout)
    assert [verdict["expired"] for verdict in verdicts] == [False] * 4
    assert "0 days old, kept for 30" in host.program("prune").stdout


def test_a_copy_of_very_many_files_is_made_in_parts(
    host: NightHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = weekly_today(host, "copy")
    monkeypatch.setattr(weekly_remote, "LIST_NAMES_MAX", 20)
    left = f"b2-encrypted:weekly/backup-{day}/left by an earlier try"
    host.rclone("copyto", str(host.config_path), left)
    config = load_config(str(host.config_path))
    record = RunRecord(config.host, time.time())
    log = RunLog(record.id, [])
    run_night(Night(config, SubprocessRunner(), log, NightOptions(), record))
    assert log.warnings == []
    files = record.details["upload"]["files"]
    assert files > 40
    assert host.stand_in.stats()["calls"]["b2_copy_file"] == files
    target = host.directory / "restored"
    done = host.program("restore", "weekly", "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    assert differences(host.volumes, target / f"docker-volumes{host.volumes}") == ""


def assert_told(weekly: dict[str, Any], mode: str, record: dict[str, Any]) -> None:
    assert weekly["mode"] == mode
    assert weekly["point"] == record["point"]
    assert (weekly["restorable_until"] is None) is (mode == "copy")
    assert bool(weekly["stored_bytes"]) is (mode == "copy")
    assert (weekly["month_usd"] > 0) is (mode == "copy")


def test_an_unknown_date_names_those_there_are(host: NightHost) -> None:
    day = weekly_today(host, "reference")
    host.night()
    refused = host.program("restore", "weekly", "2020-01-05", "--yes", "--target", "/nonexistent")
    assert refused.returncode == 1
    assert f"There are those of {day}" in refused.stderr
    host.write_config()
    assert "weekly" not in host.night()


def test_a_copy_that_fails_is_a_warning_and_the_next_night_makes_it(host: NightHost) -> None:
    weekly_today(host, "copy")
    host.stand_in.fault("cap_exceeded", "b2_copy_file", count=0)
    done = host.program("run", "--json")
    assert done.returncode == 3, done.stderr
    record = json.loads(done.stdout)
    assert record["outcome"] == "warnings"
    assert "the night is sealed, but weekly failed" in record["warnings"][0]
    assert "weekly" not in record
    host.stand_in.clear_faults()
    assert host.night()["weekly"]
    assert len(host.rclone("lsf", "b2-encrypted:weekly").splitlines()) == 1
    assert host.stand_in.files(BUCKET)


def test_a_damaged_point_hides_no_other_and_goes_with_its_time(host: NightHost) -> None:
    point = host.night()["point"]
    weekly, night = "points/backup-2026-01-04.20260104T020000Z.json", "20260101T020000Z"
    text = host.directory / "damaged"
    text.write_bytes(b"\0\xff 16\n")
    for path in (weekly, f"points/{night}.json"):
        host.rclone("copyto", str(text), f"b2-encrypted:{path}")
    listed = host.program("snapshots")
    assert listed.returncode == 3
    assert point in listed.stdout
    assert f"{weekly} is not a weekly point" in listed.stderr
    assert f"points/{night}.json is not a seal" in listed.stderr
    asked = host.program("restore", "2026-01-02", "--yes", "--target", str(host.directory / "t"))
    assert (asked.returncode, f"{night}.json is not a seal" in asked.stderr) == (1, True)

    # One that doesn't even decrypt: the list is what is left.
    stored = [item["fileName"] for item in host.stand_in.files(BUCKET)]
    host.rclone("copyto", str(text), "b2-encrypted:points/20260102T020000Z.json")
    [added] = {item["fileName"] for item in host.stand_in.files(BUCKET)} - set(stored)
    host.stand_in.damage(BUCKET, added, kind="flip", offset=40)
    listed = host.program("snapshots")
    assert (listed.returncode, point in listed.stdout) == (3, True), listed.stderr

    host.write_config(retention={"daily_days": 1, "keep_at_least": 1})
    done = host.program("prune")
    assert done.returncode == 0, done.stderr
    assert host.rclone("lsf", "b2-encrypted:points").split() == [f"{point}.json"]
    assert host.program("snapshots").returncode == 0


def test_the_list_tells_when_each_point_was_verified(host: NightHost) -> None:
    first, second = host.night(), host.night()
    listed = json.loads(host.program("snapshots", "--json").stdout)
    assert [point["verified_at"] for point in listed] == [point["sealed_at"] for point in listed]
    assert "verified" in host.program("snapshots").stdout

    time.sleep(1.1)
    assert host.program("verify").returncode == 0
    older, newest = json.loads(host.program("snapshots", "--json").stdout)
    assert (older["id"], older["verified_at"]) == (first["point"], older["sealed_at"])
    assert newest["verified_at"] > newest["sealed_at"]
    assert (newest["verified_how"], newest["verified_error"]) == ("count", "")
    assert f"{newest['verified_at']} by count" in host.program("snapshots").stdout

    # From another machine the seals are all that is known.
    away = ("--rclone-config", str(host.conf_path), "--rclone", rclone_binary())
    elsewhere = json.loads(host.program("restore", "--json", *away).stdout)
    assert [point["verified_at"] for point in elsewhere[:2]] == [
        point["sealed_at"] for point in listed
    ]

    of_base = [
        file["fileName"]
        for file in host.stand_in.files(BUCKET)
        if 248 <= int(file["contentLength"]) < 308
    ]
    host.stand_in.damage(BUCKET, of_base[0], kind="vanish")
    assert host.program("verify").returncode == 1
    assert f"{second['point']:<26}daily" in host.program("snapshots").stdout
    assert "FAILED at" in host.program("snapshots").stdout
    told = json.loads(host.program("snapshots", "--json").stdout)[1]
    assert "1 from docker-volumes" in told["verified_error"]


def test_the_manifest_of_a_night_that_was_never_sealed_goes(host: NightHost) -> None:
    def manifests() -> list[str]:
        return sorted(host.rclone("lsf", "b2-encrypted:manifests").split())

    first = host.night()["point"]
    # Nothing changed, so the first upload is the manifest and the second the seal.
    host.stand_in.fault("cap_exceeded", "b2_upload_file", count=0, skip=1)
    assert host.program("run").returncode == 1
    host.stand_in.clear_faults()
    (left,) = set(manifests()) - {f"{first}.jsonl.gz"}
    # It is newer than the newest seal: who knows what the next night makes of it.
    assert "manifest" not in host.program("prune", "--dry-run").stdout

    (host.state / "bucket.json").unlink()
    time.sleep(1.1)
    record = host.night()
    assert record["expired"] == [f"manifest {left[: -len('.jsonl.gz')]}"]
    assert manifests() == [f"{first}.jsonl.gz", f"{record['point']}.jsonl.gz"]


@pytest.mark.parametrize("command", ["prune", "verify"])
def test_a_wrong_clock_removes_and_notes_nothing(host: NightHost, command: str) -> None:
    host.night()
    before = [item["fileName"] for item in host.stand_in.files(BUCKET)]
    # To this host it is B2 that went ahead: the board woke up in the past.
    host.stand_in.advance_clock(3600)
    done = host.program(command)
    assert done.returncode == 1
    assert "this host's clock is 36" in done.stderr
    assert "behind Backblaze's" in done.stderr
    assert [item["fileName"] for item in host.stand_in.files(BUCKET)] == before
