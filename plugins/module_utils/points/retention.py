# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore points stay and which go: by their own dates, and never below the floor.

Nothing here touches anything, and no file's time plays a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import List, Optional, Sequence, Tuple

from ..config.schema import DAYS_PER_WEEK, Config
from .model import epoch_of_point, ids_of_seals
from .weekly import REFERENCE, WeeklyName, local_date, weeklies_of

DAILY = "daily"
WEEKLY = "weekly"
LOCAL = "local weekly"
MANIFEST = "manifest"


@dataclass(frozen=True)
class Verdict:
    """What becomes of one point, and why in words."""

    kind: str
    name: str
    expired: bool
    reason: str


def judge_daily(config: Config, identifiers: Sequence[str], today: date) -> List[Verdict]:
    """What becomes of the nights *identifiers*, oldest first."""
    ages = [(one, (today - local_date(epoch_of_point(one))).days) for one in sorted(identifiers)]
    return _judge(DAILY, ages, config.retention.daily_days, config.retention.keep_at_least)


def judge_weekly(
    config: Config, kind: str, names: Sequence[str], dates: Sequence[date], today: date
) -> List[Verdict]:
    """What becomes of the weekly points *names* of *dates* (of the bucket, or of the SSD).

    A point by reference goes with the version history, floor or not: it could not be restored.
    """
    ages = [(name, (today - day).days) for day, name in sorted(zip(dates, names))]
    days = config.weekly.keep_weeks * DAYS_PER_WEEK
    # A floor of weeks beyond what is kept anyway would never let one go.
    floor = min(config.retention.keep_at_least, config.weekly.keep_weeks)
    by_reference = kind == WEEKLY and config.weekly.mode == REFERENCE
    floor_days = config.retention.history_days if by_reference else None
    return _judge(kind, ages, days, floor, floor_days)


def judge_remote(config: Config, names: Sequence[str], today: date) -> List[Verdict]:
    """What becomes of the points whose object *names* the bucket lists."""
    weeklies = weeklies_of(names)
    return judge_daily(config, ids_of_seals(names), today) + judge_weekly(
        config, WEEKLY, [one.name for one in weeklies], [one.date for one in weeklies], today
    )


def manifests_in_use(names: Sequence[str], gone: Sequence[str]) -> List[str]:
    """The nights whose manifests are needed by the points among *names* that are not *gone*."""
    kept: List[WeeklyName] = [one for one in weeklies_of(names) if one.name not in gone]
    nights = [one for one in ids_of_seals(names) if one not in gone]
    return sorted({*nights, *(one.point_id for one in kept)})


def judge_manifests(names: Sequence[str], manifests: Sequence[str]) -> List[Verdict]:
    """Which of the *manifests* (names of nights) no point needs: those nights were never sealed.

    *names* are the objects of the points. One younger than the newest seal is left alone.
    """
    nights = ids_of_seals(names)
    in_use = manifests_in_use(names, [])
    return [
        Verdict(MANIFEST, night, True, "its night was never sealed")
        for night in sorted(manifests)
        if nights and night < nights[-1] and night not in in_use
    ]


def _judge(
    kind: str,
    ages: Sequence[Tuple[str, int]],
    days: int,
    keep_at_least: int,
    floor_days: Optional[int] = None,
) -> List[Verdict]:
    verdicts = []
    for index, (name, age_days) in enumerate(ages):
        newer = len(ages) - 1 - index
        if age_days < days:
            verdict = Verdict(kind, name, False, f"{age_days} days old, kept for {days}")
        elif newer < keep_at_least and (floor_days is None or age_days < floor_days):
            reason = f"{age_days} days old, but the newest {keep_at_least} stay"
            verdict = Verdict(kind, name, False, reason)
        else:
            verdict = Verdict(kind, name, True, f"{age_days} days old, kept for {days}")
        verdicts.append(verdict)
    return verdicts
