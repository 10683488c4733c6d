# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sixty nights with a moved clock: exactly the expected points exist, and they restore."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.clock import Clock
from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
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

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

NIGHTS = 60
FAILED_NIGHT = 45
DAILY_DAYS = 30
KEEP_WEEKS = {"reference": 4, "copy": 7}
DAY_SECONDS = 86400
YEAR_SECONDS = 365 * DAY_SECONDS
SUNDAY = 6
# A Wednesday, at the hour of cron.
FIRST_NIGHT = datetime(2027, 1, 6, 2, 0, tzinfo=timezone.utc)
FILES = 12
RECONCILE_DAYS = 7
LIFECYCLE = {
    "fileNamePrefix": "",
    "daysFromHidingToDeleting": 30,
    "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
}


class MovedClock(Clock):
    """The stand-in's clock and the program's, moved together."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.offset_seconds = 0.0

    def now(self) -> float:
        return time.time() + self.offset_seconds

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.stand_in.advance_clock(seconds, lifecycle=False)
            self.offset_seconds += seconds

    def go_to(self, moment: datetime) -> None:
        """Days pass: the lifecycle rules are applied at the end of each."""
        self.stand_in.set_clock(moment.timestamp())
        self.offset_seconds = self.stand_in.now() - time.time()


class Sixty:
    """One host's two months: what it did, and what must be there for it."""

    def __init__(self, host: NightHost, mode: str) -> None:
        self.host = host
        self.mode = mode
        self.clock = MovedClock(host.stand_in)
        self.wrote: dict[str, dict[str, bytes]] = {}
        self.days: dict[str, datetime] = {}
        self.content: dict[str, bytes] = {}
        host.write_config(weekly={"mode": mode, "keep_weeks": KEEP_WEEKS[mode]})
        self.config = load_config(str(host.config_path))

    def change(self, number: int) -> None:
        """A night's changes: a new, a changed and a removed file, all of them a year old."""
        self.content[f"file-{number % FILES}"] = f"{self.mode} {number}".encode() * 30
        self.content[f"new-{number}"] = b"n" * (number + 1)
        self.content.pop(f"new-{number - 3}", None)
        directory = self.host.volumes / "app/_data"
        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.iterdir():
            if path.name not in self.content:
                path.unlink()
        for name, data in self.content.items():
            path = directory / name
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
                modified = FIRST_NIGHT.timestamp() - YEAR_SECONDS + number
                os.utime(path, (modified, modified))

    def night(self, number: int) -> None:
        """Live through a day and its night, and look which points there are."""
        moment = FIRST_NIGHT + timedelta(days=number)
        self.clock.go_to(moment)
        self.change(number)
        record = RunRecord(self.config.host, self.clock.now())
        log = RunLog(record.id, [])
        night = Night(
            self.config, SubprocessRunner(), log, NightOptions(), record, clock=self.clock
        )
        if number == FAILED_NIGHT:
            self._fail(night)
        else:
            run_night(night)
            assert log.warnings == [], log.warnings
            assert record.point is not None
            self.wrote[record.point] = dict(self.content)
            self.days[record.point] = moment
            if number < FAILED_NIGHT:
                assert record.details["upload"]["reconciled"] is (number % RECONCILE_DAYS == 0)
            assert self.points() == self.expected(moment)
            assert self.snapshots() == self.expected_weeklies(moment)

    def _fail(self, night: Night) -> None:
        before = self.points(), self.snapshots()
        self.host.stand_in.fault("cap_exceeded", "b2_upload_file", count=0)
        with pytest.raises(BackupError):
            run_night(night)
        self.host.stand_in.clear_faults()
        # Points would have expired tonight: not after a night that failed.
        assert (self.points(), self.snapshots()) == before

    def points(self) -> list[str]:
        """The points that the bucket offers: nights, and dates of weekly points."""
        names = self.host.rclone("lsf", "b2-encrypted:points").splitlines()
        return sorted(name.removesuffix(".json").split(".")[0] for name in names)

    def snapshots(self) -> list[str]:
        """The weekly snapshots on the SSD."""
        weekly = self.host.ssd / "backup-staging/weekly"
        return sorted(path.name for path in weekly.glob("*") if path.is_dir())

    def expected(self, moment: datetime) -> list[str]:
        nights = [
            point
            for point, day in self.days.items()
            if (moment.date() - day.date()).days < DAILY_DAYS
        ]
        return sorted([*nights, *self.expected_weeklies(moment)])

    def expected_weeklies(self, moment: datetime) -> list[str]:
        return sorted(
            f"backup-{day.date()}"
            for day in self.days.values()
            if day.weekday() == SUNDAY
            and (moment.date() - day.date()).days < 7 * KEEP_WEEKS[self.mode]
        )

    def restores(self, *wanted: str) -> None:
        """Restore a point with the program and compare its files with what there was."""
        target = self.host.directory / "restored" / "-".join(wanted)
        shutil.rmtree(target, ignore_errors=True)
        done = self.host.program("restore", *wanted, "--yes", "--target", str(target))
        assert done.returncode == 0, done.stderr
        volumes = target / f"docker-volumes{self.host.volumes}/app/_data"
        found = {path.name: path.read_bytes() for path in volumes.iterdir()}
        night = wanted[0]
        if wanted[0] == "weekly":
            night = next(p for p, day in self.days.items() if str(day.date()) == wanted[1])
        assert found == self.wrote[night], wanted

    def wanted(self) -> list[tuple[str, ...]]:
        """Every point that is offered now, as a person names it."""
        return [
            ("weekly", name.removeprefix("backup-")) if name.startswith("backup-") else (name,)
            for name in self.points()
        ]


def live(directory: Path, mode: str) -> tuple[int, int]:
    directory.mkdir()
    with (
        StandIn.start(directory / "b2") as stand_in,
        mounted_ssd(directory, 64 * 1024**2) as ssd,
    ):
        host = NightHost(directory, ssd, stand_in, [LIFECYCLE])
        (host.compose / "compose.yml").write_text("services: {}\n", encoding="utf-8")
        sixty = Sixty(host, mode)
        for number in range(NIGHTS):
            sixty.night(number)
            if number % 10 == 9:
                sixty.restores(*sixty.wanted()[0])
        offered = sixty.wanted()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda wanted: sixty.restores(*wanted), offered))
        weeklies = [wanted for wanted in offered if wanted[0] == "weekly"]
        # Nothing is left in the bucket of what expired: neither manifests nor copies.
        stored = host.rclone("lsf", "-R", "--files-only", "b2-encrypted:").splitlines()
        copies = {name.split("/")[1] for name in stored if name.startswith("weekly/")}
        assert copies == (
            {f"backup-{day}" for _weekly, day in weeklies} if mode == "copy" else set()
        )
        manifests = [name for name in stored if name.startswith("manifests/")]
        points = host.rclone("lsf", "b2-encrypted:points").splitlines()
        named = {name.removesuffix(".json").split(".")[-1] for name in points}
        assert {Path(name).name.removesuffix(".jsonl.gz") for name in manifests} == named
        return len(offered), len(weeklies)


def test_sixty_nights_leave_exactly_the_expected_points_and_all_restore(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        reference, copy = pool.map(lambda mode: live(tmp_path / mode, mode), ("reference", "copy"))
    assert reference == (DAILY_DAYS - 1 + 4, 4)
    assert copy == (DAILY_DAYS - 1 + 7, 7)
