# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.night.run import run_night
from ansible_collections.lepotato.backup.plugins.module_utils.night.snapshot import SnapshotStage
from ansible_collections.lepotato.backup.plugins.module_utils.night.weekly import WeeklyStage

from .nights import Lines, a_night

SUNDAY = {"weekday": "sunday"}
MONDAY = {"weekday": "monday"}


def test_a_snapshot_that_fails_is_a_warning_about_the_ssd_alone(tmp_path: Path) -> None:
    night = a_night(tmp_path, Lines(), weekly=SUNDAY)
    (tmp_path / "staging").mkdir()
    # Nothing is staged: there is no daily/.
    run_night(night, [SnapshotStage()])
    assert len(night.log.warnings) == 1
    assert "the snapshot backup-2026-11-22 on the SSD could not be made" in night.log.warnings[0]
    assert "sealed" not in night.log.warnings[0]
    assert "snapshot" not in night.record.details


def test_without_its_day_there_is_no_step_and_a_time_of_0(tmp_path: Path) -> None:
    lines = Lines()
    night = a_night(tmp_path, lines, weekly=MONDAY)
    run_night(night, [SnapshotStage()])
    assert (lines.told, night.record.seconds) == ([], {"snapshot": 0.0})


@pytest.mark.parametrize(("weekly", "is_told"), [(SUNDAY, True), (MONDAY, False)])
def test_a_dry_run_tells_both_of_the_weeks_copies_together(
    tmp_path: Path, weekly: dict[str, str], is_told: bool
) -> None:
    lines = Lines()
    night = a_night(tmp_path, lines, dry_run=True, weekly=weekly)
    run_night(night, [SnapshotStage(), WeeklyStage()])
    expected = [
        "would keep staging as the snapshot backup-2026-11-22 on the SSD",
        "would make the weekly point backup-2026-11-22 (reference)",
    ]
    assert lines.told == (expected if is_told else [])
    assert bool(night.point_names) is is_told
