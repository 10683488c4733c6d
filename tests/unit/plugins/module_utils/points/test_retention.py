# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    parse_config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.retention import (
    Verdict,
    judge_daily,
    judge_manifests,
    judge_remote,
    judge_weekly,
    manifests_in_use,
)

TODAY = date(2026, 11, 22)


def configured(**changes: Any) -> Config:
    return parse_config(
        {
            "host": "potato",
            "bucket": "my-bucket",
            "host_prefix": "potato",
            "sources": [{"tree": "docker-volumes", "paths": ["/mnt/ssd/docker/volumes"]}],
            **changes,
        }
    )


def night(age_days: int) -> str:
    # Noon: the same date in every time zone but the farthest.
    return f"{TODAY - timedelta(days=age_days):%Y%m%d}T120000Z"


def expired(verdicts: list[Verdict]) -> list[str]:
    return [verdict.name for verdict in verdicts if verdict.expired]


def test_nights_go_by_their_own_date() -> None:
    nights = [night(age) for age in range(40)]
    assert expired(judge_daily(configured(), nights, TODAY)) == sorted(nights[30:])


def test_the_newest_stay_however_old_they_are() -> None:
    nights = [night(age) for age in range(100, 120)]
    verdicts = judge_daily(configured(), nights, TODAY)
    assert expired(verdicts) == sorted(nights[7:])
    kept = [verdict for verdict in verdicts if not verdict.expired]
    assert len(kept) == 7
    assert kept[-1].reason == "100 days old, but the newest 7 stay"


@pytest.mark.parametrize("age_days", [0, 29, 30, 1000])
def test_a_single_point_always_stays(age_days: int) -> None:
    config = configured(retention={"keep_at_least": 1})
    assert expired(judge_daily(config, [night(age_days)], TODAY)) == []


def test_weekly_points_have_their_own_time() -> None:
    dates = [TODAY - timedelta(days=7 * week) for week in range(8)]
    names = [f"backup-{day}" for day in dates]
    assert expired(judge_weekly(configured(), "weekly", names, dates, TODAY)) == sorted(names[4:])
    longer = configured(weekly={"mode": "copy", "keep_weeks": 6})
    assert expired(judge_weekly(longer, "weekly", names, dates, TODAY)) == sorted(names[6:])


def test_the_floor_of_weekly_points_ends_with_the_history_unless_they_are_copies() -> None:
    dates = [TODAY - timedelta(days=age) for age in (28, 29, 30, 400)]
    names = [f"backup-{day}" for day in dates]
    by_reference = judge_weekly(configured(), "weekly", names, dates, TODAY)
    assert expired(by_reference) == sorted(names[2:])
    copies = configured(weekly={"mode": "copy", "keep_weeks": 4})
    assert expired(judge_weekly(copies, "weekly", names, dates, TODAY)) == []
    assert expired(judge_weekly(configured(), "local weekly", names, dates, TODAY)) == []


def test_a_manifest_stays_while_a_weekly_point_names_it() -> None:
    names = [f"{night(age)}.json" for age in range(35)]
    names.append(f"backup-{TODAY - timedelta(days=32)}.{night(32)}.json")
    config = configured(weekly={"mode": "copy", "keep_weeks": 10})
    gone = expired(judge_remote(config, names, TODAY))
    assert gone == [night(age) for age in (34, 33, 32, 31, 30)]
    assert night(32) in manifests_in_use(names, gone)
    assert night(31) not in manifests_in_use(names, gone)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"retention": {"daily_days": 60}}, "'retention.daily_days' must be at most"),
        ({"weekly": {"keep_weeks": 5}}, "'weekly.keep_weeks' must be at most 4 with weekly.mode"),
        ({"weekly": {"weekday": "sonntag"}}, "'weekly.weekday' must be 0 (Monday) to 6"),
        ({"weekly": {"mode": "both"}}, "'weekly.mode' must be one of reference, copy"),
        ({"retention": {"keep_at_least": 0}}, "'retention.keep_at_least' must be at least 1"),
    ],
)
def test_what_can_not_be_kept_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(**changes)
    assert told in caught.value.message


def test_a_weekday_is_a_name_or_a_number() -> None:
    assert configured(weekly={"weekday": "monday"}).weekly.weekday_number == 0
    assert configured(weekly={"weekday": "6"}).weekly.weekday_number == 6


def test_a_manifest_goes_when_no_point_needs_it_and_a_newer_night_is_sealed() -> None:
    points = [f"{night(age)}.json" for age in (3, 1)]
    points.append(f"backup-2026-11-15.{night(7)}.json")
    manifests = [night(age) for age in (7, 3, 2, 1, 0)]
    # 7: a weekly point's; 2: never sealed; 0: newer than the newest seal.
    assert expired(judge_manifests(points, manifests)) == [night(2)]
    assert judge_manifests([], manifests) == []
