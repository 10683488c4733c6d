# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second destination on a USB disk: the same points, whatever becomes of the disk or of B2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import load_config
from ansible_collections.lepotato.backup.plugins.module_utils.night.context import (
    Night,
    NightOptions,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.run import run_night
from ansible_collections.lepotato.backup.plugins.module_utils.night.run_record import RunRecord
from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import RunLog
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from b2_standin.client import StandIn

from .night_host import NightHost, mounted_ssd
from .second_place import Kept, UsbDisk, change, use_disk
from .test_sixty_nights import FIRST_NIGHT, MovedClock
from .waits import wait_for

# Days after the first night, a Wednesday, and the points that the disk has after each: nights by
# the day of the month, weekly points with a "w". On one of them the disk is out.
DAYS = {
    0: ["6"],
    3: ["6", "9"],
    4: ["9", "10", "w10"],
    5: ["9", "10", "11", "w10"],
    8: [],
    11: ["11", "17", "w17"],
    12: ["17", "18", "w17"],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")


class Host(NightHost):
    """A host with a USB disk."""

    usb: UsbDisk

    def warned(self) -> dict[str, Any]:
        """A night that must end with warnings; returns its record."""
        done = self.program("run", "--json")
        assert done.returncode == 3, done.stderr + self.log()
        record: dict[str, Any] = json.loads(done.stdout)
        return record

    def on_disk(self, path: str) -> list[str]:
        """The names in a directory of the second destination; none when it is not there."""
        names = self.rclone("lsf", "second-encrypted:").split()
        return self.rclone("lsf", f"second-encrypted:{path}").split() if f"{path}/" in names else []


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn.start(tmp_path / "b2") as stand_in:
        yield stand_in


@pytest.fixture
def host(tmp_path: Path, stand_in: StandIn) -> Iterator[Host]:
    usb = UsbDisk(tmp_path)
    with mounted_ssd(tmp_path) as ssd, usb.plugged_in():
        host = Host(tmp_path, ssd, stand_in)
        host.usb = usb
        use_disk(host, usb.path)
        host.fill()
        yield host


def next_second() -> None:
    """A point is named after the second its night began in."""
    time.sleep(1.1)


def test_every_point_restores_from_the_disk_without_b2(host: Host, stand_in: StandIn) -> None:
    kept = Kept(host)
    for number in range(3):
        record = host.night()
        kept.keep(record["point"])
        assert record["second"]["point"] == record["point"]
        # Only the first night compares; after that the difference is known.
        assert record["second"]["compared"] is (number == 0)
        next_second()
        change(host, number)
    assert record["second"]["files"] == record["upload"]["files"]
    assert not [name for name in os.listdir(host.usb.path / "potato") if "daily" in name]

    listed = json.loads(host.program("snapshots", "--json").stdout)
    by_place = {place: [one["id"] for one in listed if one["destination"] == place]
                for place in ("b2", "second")}  # fmt: skip
    assert by_place["b2"] == by_place["second"] == list(kept.points)
    assert "second destination" in host.program("snapshots").stdout

    stand_in.stop()
    kept.assert_restores()
    proven = host.program("verify", "--from", "second")
    assert (proven.returncode, record["point"] in proven.stdout) == (0, True), proven.stderr
    listed = json.loads(host.program("snapshots", "--from", "second", "--json").stdout)
    assert [one["id"] for one in listed] == list(kept.points)

    # One file of an old night in place of the live one.
    first = next(iter(kept.points))
    live = host.volumes / "db/_data/base/004"
    done = host.program(
        *("restore", "--from", "second", first, "--in-place", "--yes", "--path", str(live))
    )
    assert done.returncode == 0, done.stderr
    assert live.read_bytes() == (kept.points[first] / "db/_data/base/004").read_bytes()

    # A part of it, on a machine that has only what the disk needs.
    text = host.conf_path.read_text(encoding="utf-8")
    host.conf_path.write_text(text[text.index("[second-encrypted]") :], encoding="utf-8")
    target = host.directory / "part"
    done = host.program(
        *("restore", "--from", "second", first, "--yes", "--target", str(target)),
        *("--rclone-config", str(host.conf_path), "--rclone", host.config()["rclone"]["binary"]),
        *("--path", f"{host.volumes}/db/_data/base/004"),
    )
    assert done.returncode == 0, done.stderr
    found = target / f"docker-volumes{host.volumes}/db/_data/base/004"
    assert found.read_bytes() == (kept.points[first] / "db/_data/base/004").read_bytes()


def test_a_disk_that_is_out_is_a_warning_and_catches_up(host: Host) -> None:
    kept = Kept(host)
    first = host.night()["point"]
    kept.keep(first)
    host.usb.pull_out()
    change(host, 1)
    next_second()
    record = host.warned()
    assert record["point"] != first
    assert record["second"]["point"] == first
    since = datetime.strptime(first, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    assert len(record["warnings"]) == 1
    assert f"no new point since {since:%Y-%m-%dT%H:%M:%SZ}" in record["warnings"][0]
    assert "no disk is mounted there" in record["warnings"][0]
    # Nothing goes to the SD card below the mount point.
    assert os.listdir(host.usb.mount_point) == []
    listed = host.program("snapshots", "--json")
    assert listed.returncode == 0
    assert {one["destination"] for one in json.loads(listed.stdout)} == {"b2"}
    assert "no disk is mounted there" in listed.stderr
    refused = host.program("restore", "--from", "second", "daily", "--yes", "--target", "/none")
    assert (refused.returncode, "no disk is mounted there" in refused.stderr) == (1, True)

    host.usb.plug_in()
    change(host, 2)
    next_second()
    record = host.night()
    kept.keep(record["point"])
    assert host.on_disk("points") == [f"{point}.json" for point in kept.points]
    kept.assert_restores()


def test_a_killed_night_leaves_the_former_points_of_the_disk(host: Host) -> None:
    kept = Kept(host)
    kept.keep(host.night()["point"])
    for number in range(2):
        change(host, number)
        for name in range(40):
            (host.volumes / f"bulk-{name}").write_bytes(os.urandom(300_000))
        next_second()
        kill_on_second(host, host.usb)
        kept.assert_restores()
    assert len(host.on_disk("manifests")) > len(host.on_disk("points"))
    change(host, 5)
    next_second()
    record = host.night()
    kept.keep(record["point"])
    kept.assert_restores()
    assert len(host.on_disk("manifests")) == len(host.on_disk("points"))


def kill_on_second(host: NightHost, usb: UsbDisk) -> None:
    """Start a night and kill it, and its rclone, once it moves files on the disk."""
    # Looked at without rclone, which takes longer to start than the night takes there.
    encrypted = host.rclone("cryptdecode", "--reverse", "second-encrypted:", "history").split()[-1]
    history = usb.path / "potato" / encrypted

    def histories() -> int:
        return len(os.listdir(history)) if history.is_dir() else 0

    before = histories()
    with subprocess.Popen(
        host.command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as night:
        wait_for(lambda: histories() > before, "the night moves files on the disk", night)
        night.send_signal(signal.SIGKILL)
    assert night.returncode == -signal.SIGKILL


def test_a_second_attempt_finds_directories_where_the_former_point_has_files(host: Host) -> None:
    kept = Kept(host)
    swapped = host.volumes / "db/_data/swapped"
    swapped.write_bytes(b"a file")
    kept.keep(host.night()["point"])
    change(host, 0)
    assert swapped.is_dir()
    # Nobody's manifest knows it: the count after the first attempt is wrong.
    host.rclone("copyto", str(swapped / "inside"), "second-encrypted:daily/of-nobody")
    next_second()
    record = host.night()
    assert record["second"]["compared"]
    kept.keep(record["point"])
    kept.assert_restores()


def test_a_full_disk_is_a_warning_and_its_points_stay_whole(host: Host) -> None:
    kept = Kept(host)
    kept.keep(host.night()["point"])
    (host.volumes / "large").write_bytes(os.urandom(70 * 1024**2))
    change(host, 1)
    next_second()
    record = host.warned()
    assert "is full" in record["warnings"][0]
    assert "the points on it are whole" in record["warnings"][0]
    kept.assert_restores()
    (host.volumes / "large").unlink()
    next_second()
    kept.keep(host.night("--accept-shrink")["point"])
    kept.assert_restores()


def test_points_of_the_disk_go_with_their_time_and_their_history_with_them(
    host: Host, stand_in: StandIn
) -> None:
    use_disk(
        host,
        host.usb.path,
        weekly={"weekday": "sunday", "keep_weeks": 1},
        retention={"daily_days": 3, "keep_at_least": 2},
    )
    clock = MovedClock(stand_in)
    config = load_config(str(host.config_path))
    kept = Kept(host)
    for day, expected in DAYS.items():
        clock.go_to(FIRST_NIGHT + timedelta(days=day))
        change(host, day)
        if not expected:
            host.usb.pull_out()
        record = RunRecord(config.host, clock.now())
        log = RunLog(record.id, [])
        run_night(Night(config, SubprocessRunner(), log, NightOptions(), record, clock=clock))
        if not expected:
            assert len(log.warnings) == 1
            host.usb.plug_in()
            continue
        assert log.warnings == []
        assert record.point is not None
        kept.keep(record.point)
        names = [name.removesuffix(".json") for name in host.on_disk("points")]
        assert [_day_of(name) for name in names] == expected
        needed = {name.split(".")[-1] for name in names}
        assert {name.split(".")[0] for name in host.on_disk("manifests")} == needed
        assert all(name > min(needed) for name in host.on_disk("history"))
        if day == 12:
            kept.assert_restores(*(name for name in names if name in kept.points))
        if day in (5, 12):
            sunday = FIRST_NIGHT + timedelta(days=4 if day == 5 else 11)
            night = next(name for name in kept.points if _day_of(name) == str(sunday.day))
            kept.assert_restores(night, named=("weekly", str(sunday.date())))
    assert [_day_of(name) for name in host.on_disk("history")] == ["18"]


def test_a_prune_by_hand_covers_the_disk_too(host: Host) -> None:
    point = host.night()["point"]
    old = "20260101T020000Z"
    for source, copy in (
        (f"points/{point}.json", f"points/{old}.json"),
        (f"manifests/{point}.jsonl.gz", f"manifests/{old}.jsonl.gz"),
        (f"points/{point}.json", f"history/{old}-1/replaced"),
    ):
        host.rclone("copyto", f"second-encrypted:{source}", f"second-encrypted:{copy}")
    use_disk(host, host.usb.path, retention={"daily_days": 1, "keep_at_least": 1})

    verdicts = json.loads(host.program("prune", "--dry-run", "--json").stdout)
    there = {one["name"]: one["expired"] for one in verdicts if one["destination"] == "second"}
    assert there == {old: True, point: False}
    assert len(host.on_disk("points")) == 2

    done = host.program("prune")
    assert done.returncode == 0, done.stderr
    assert f"second daily    {old}" in done.stdout
    assert host.on_disk("points") == [f"{point}.json"]
    assert host.on_disk("manifests") == [f"{point}.jsonl.gz"]
    assert host.on_disk("history") == []
    assert host.program("verify", "--from", "second").returncode == 0

    host.usb.pull_out()
    done = host.program("prune")
    assert (done.returncode, "is left as it is" in done.stderr) == (3, True)


def _day_of(name: str) -> str:
    """The day of the month of a night (2027-01-06 is "6"), or of a weekly point ("w10")."""
    if name.startswith("backup-"):
        return f"w{int(name.split('.')[0][-2:])}"
    return str(int(name[6:8]))
