# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weekly points: named nights that outlive, or are meant to outlive, the nights around them.

A weekly point is one small object, ``points/backup-DATE.ID.json``: the date it goes by, the night
it names, and in it that night's seal. By reference that is all; as a copy its objects lie in
``weekly/backup-DATE`` of their own, and the seal in it says so.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Iterable, List, NamedTuple, Sequence

from ..base.errors import BackupError, ConfigError
from ..bucket.layout import POINTS_DIRECTORY, WEEKLY_DIRECTORY
from ..config.schema import DAYS_PER_WEEK, Weekly
from .model import DamagedPointError, Seal, epoch_of_point, parse_seal

WEEKLY_VERSION = 1
REFERENCE = "reference"
COPY = "copy"

_PREFIX = "backup-"
_OBJECT = re.compile(r"(backup-[0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{8}T[0-9]{6}Z)\.json")
_NAME = re.compile(r"backup-[0-9]{4}-[0-9]{2}-[0-9]{2}")


class WeeklyName(NamedTuple):
    """What the name of a weekly point's object tells: its own name and the night it names."""

    name: str
    point_id: str

    @property
    def date(self) -> date:
        """The date it goes by."""
        return date_of(self.name)

    @property
    def path(self) -> str:
        """Its object, below the crypt remote."""
        return f"{POINTS_DIRECTORY}/{self.name}.{self.point_id}.json"

    @property
    def data(self) -> str:
        """Where a copy lies, below the crypt remote."""
        return f"{WEEKLY_DIRECTORY}/{self.name}"


@dataclass(frozen=True)
class WeeklyPoint:
    """A weekly point as it is stored; *seal* tells where and as of when its bytes are read."""

    name: str
    mode: str
    made_at: str
    seal: Seal

    def to_json(self) -> str:
        """The point as it is stored."""
        raw = {"version": WEEKLY_VERSION, **dataclasses.asdict(self)}
        return json.dumps(raw, indent=2, sort_keys=True) + "\n"


def parse_weekly(text: str, name: str) -> WeeklyPoint:
    """The weekly point in *text*; *name* says which object it was, in the :class:`BackupError`."""
    try:
        raw = json.loads(text)
        if raw["version"] > WEEKLY_VERSION:
            raise BackupError(
                f"{name} was written by a newer version of lepotato.backup",
                "Update this installation before you restore",
            )
        seal = parse_seal(json.dumps(raw["seal"]), name)
        return WeeklyPoint(raw["name"], raw["mode"], raw["made_at"], seal)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedPointError(
            f"{name} is not a weekly point ({error!r})", "Choose another restore point"
        ) from error


def local_date(epoch_seconds: float) -> date:
    """The date on this host's calendar."""
    return datetime.fromtimestamp(epoch_seconds, timezone.utc).astimezone().date()


def weekly_name(day: date) -> str:
    """The name of the weekly point of a day."""
    return _PREFIX + day.isoformat()


def date_of(name: str) -> date:
    """The date that the name of a weekly point tells."""
    return date.fromisoformat(name[len(_PREFIX) :])


def is_weekly_name(name: str) -> bool:
    """Whether *name* is that of a weekly point: a 30th of February is somebody else's."""
    if not _NAME.fullmatch(name):
        return False
    try:
        date_of(name)
    except ValueError:
        return False
    return True


def weeklies_of(names: Iterable[str]) -> List[WeeklyName]:
    """The weekly points among the object *names* of the points directory, oldest first."""
    matches = (_OBJECT.fullmatch(name) for name in names)
    found = (WeeklyName(*match.groups()) for match in matches if match)
    return sorted(weekly for weekly in found if is_weekly_name(weekly.name))


def is_due(
    today: date, weekday: int, weekly_dates: Sequence[date], daily_ids: Sequence[str]
) -> bool:
    """Whether the night of *today* is to be a weekly point.

    It is on the chosen *weekday*, and on a later day when the night of that weekday failed: there
    were nights before it (*daily_ids*) and no weekly point since.
    """
    day = today - timedelta(days=(today.weekday() - weekday) % DAYS_PER_WEEK)
    if any(made >= day for made in weekly_dates):
        return False
    return day == today or any(local_date(epoch_of_point(one)) < day for one in daily_ids)


def is_weekly_due(
    weekly: Weekly, today: date, weekly_dates: Sequence[date], daily_ids: Sequence[str]
) -> bool:
    """Whether the configuration asks for weekly points, and :func:`is_due` says that it is time."""
    return weekly.enabled and is_due(today, weekly.weekday_number, weekly_dates, daily_ids)


def choose_weekly(weeklies: Sequence[WeeklyName], wanted: str) -> WeeklyName:
    """The weekly point of the date *wanted* ("" is the newest; ``backup-DATE`` is a date too)."""
    text = wanted.removeprefix(_PREFIX)
    if not weeklies:
        raise BackupError(
            "there is no weekly point under this prefix",
            "Name a night instead: daily, daily DATE, or a time",
        )
    if not text:
        return weeklies[-1]
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"'{wanted}' is no date", "Say weekly 2026-11-22") from None
    found = [weekly for weekly in weeklies if weekly.date == day]
    if not found:
        known = ", ".join(weekly.date.isoformat() for weekly in weeklies)
        raise BackupError(f"there is no weekly point of {day}", f"There are those of {known}")
    return found[-1]
