# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.context import (
    Night,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.prune import PruneStage
from ansible_collections.lepotato.backup.plugins.module_utils.night.run import STAGES, run_night
from ansible_collections.lepotato.backup.plugins.module_utils.night.stage import Stage
from ansible_collections.lepotato.backup.plugins.module_utils.night.weekly import WeeklyStage

from .nights import Lines, a_night


class Told(Stage):
    """A stage that tells what it is asked to do, and fails as it is told to."""

    def __init__(
        self,
        name: str,
        error: BaseException | None = None,
        *,
        ends_night: bool = True,
        is_enabled: bool = True,
        is_due: bool = True,
        timed_with: str = "",
    ) -> None:
        # Those of the stages of a night are attributes of their classes.
        self.__dict__.update(name=name, ends_night=ends_night, timed_with=timed_with)
        self.error, self.enabled, self.due = error, is_enabled, is_due

    def is_enabled(self, config: Config) -> bool:
        return self.enabled

    def is_due(self, night: Night) -> bool:
        return self.due

    def run(self, night: Night) -> None:
        night.log.info(f"{self.name} runs")
        if self.error:
            raise self.error

    def dry_run(self, night: Night) -> None:
        night.log.info(f"would run {self.name}")


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_the_stages_and_what_records_call_them() -> None:
    # Names and keys are in the records and logs of earlier nights.
    assert [(stage.name, stage.time_key, stage.ends_night) for stage in STAGES] == [
        ("preflight", "preflight", True),
        ("capture", "capture", True),
        ("manifest", "manifest", True),
        ("snapshot", "snapshot", False),
        ("upload", "upload", True),
        ("count", "seal", True),
        ("seal", "seal", True),
        ("weekly", "points", False),
        ("prune", "points", False),
        ("cost", "cost", False),
        ("second", "second", False),
    ]


def test_each_stage_is_announced_run_and_timed_in_its_turn(tmp_path: Path, lines: Lines) -> None:
    night = a_night(tmp_path, lines)
    stages = [Told("first"), Told("counted", timed_with="second"), Told("second")]
    run_night(night, stages)
    assert lines.told == [
        "step first",
        "first runs",
        "step counted",
        "counted runs",
        "step second",
        "second runs",
    ]
    assert list(night.record.seconds) == ["first", "second"]


@pytest.mark.parametrize("error", [BackupError("no room"), OSError("no room")])
def test_a_failure_ends_the_night_and_its_calls_are_kept(
    tmp_path: Path, lines: Lines, error: Exception
) -> None:
    night = a_night(tmp_path, lines)
    with pytest.raises(type(error), match="no room"):
        run_night(night, [Told("first", error), Told("second")])
    assert lines.told == ["step first", "first runs"]
    assert night.log.current_step == "first"
    assert list(night.record.seconds) == ["first"]
    assert night.record.details["cost"]["calls"]["class_a"] == 0
    assert (tmp_path / "cost.json").exists()


@pytest.mark.parametrize("error", [BackupError("no room"), OSError("no room")])
def test_a_failure_that_need_not_end_the_night_is_a_warning(
    tmp_path: Path, lines: Lines, error: Exception
) -> None:
    night = a_night(tmp_path, lines)
    run_night(night, [Told("first", error, ends_night=False), Told("second")])
    assert night.log.warnings == ["the night is sealed, but first failed: no room"]
    assert night.warned_stages == ["first"]
    assert lines.told[-2:] == ["step second", "second runs"]
    assert list(night.record.seconds) == ["first", "second"]


@pytest.mark.parametrize("error", [Interrupted(15, "SIGTERM"), ZeroDivisionError()])
def test_a_signal_or_a_defect_ends_the_night_in_every_stage(
    tmp_path: Path, lines: Lines, error: BaseException
) -> None:
    night = a_night(tmp_path, lines)
    with pytest.raises(type(error)):
        run_night(night, [Told("first", error, ends_night=False), Told("second")])
    assert "second runs" not in lines.told
    assert night.log.warnings == []


def test_a_stage_that_is_not_due_has_no_step_and_one_that_is_not_enabled_no_time(
    tmp_path: Path, lines: Lines
) -> None:
    night = a_night(tmp_path, lines)
    run_night(night, [Told("first", is_due=False), Told("second", is_enabled=False)])
    assert lines.told == []
    assert night.record.seconds == {"first": 0.0}


def test_a_dry_run_asks_each_stage_what_it_would_do_and_runs_none(
    tmp_path: Path, lines: Lines
) -> None:
    night = a_night(tmp_path, lines, dry_run=True)
    stages = [
        Told("first"),
        Told("second", is_due=False),
        Told("third", is_enabled=False),
        Told("fourth", BackupError("never"), ends_night=False),
    ]
    run_night(night, stages)
    assert lines.told == ["would run first", "would run second", "would run fourth"]
    assert night.record.seconds == {}
    assert not (tmp_path / "cost.json").exists()


def test_a_new_stage_is_a_class_with_a_name_and_one_line_of_the_list(
    tmp_path: Path, lines: Lines
) -> None:
    class ScrubStage(Stage):
        name = "scrub"

        def run(self, night: Night) -> None:
            night.log.info("scrubbed")

        def dry_run(self, night: Night) -> None:
            night.log.info("would scrub")

    stages = [Told("first"), ScrubStage(), Told("second")]
    night = a_night(tmp_path, lines)
    run_night(night, stages)
    assert lines.told[2:4] == ["step scrub", "scrubbed"]
    assert list(night.record.seconds) == ["first", "scrub", "second"]
    run_night(a_night(tmp_path, lines, dry_run=True), stages)
    assert lines.told[-2:] == ["would scrub", "would run second"]


def test_nothing_is_removed_after_a_weekly_point_that_failed(tmp_path: Path, lines: Lines) -> None:
    night = a_night(tmp_path, lines)
    assert PruneStage().is_due(night)
    run_night(night, [Told(WeeklyStage.name, BackupError("no"), ends_night=False)])
    assert not PruneStage().is_due(night)
