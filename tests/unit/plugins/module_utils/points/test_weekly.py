# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    ConfigError,
)
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    ids_of_seals,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.weekly import (
    WeeklyName,
    WeeklyPoint,
    choose_weekly,
    is_due,
    is_weekly_name,
    parse_weekly,
    weeklies_of,
    weekly_name,
)

SUNDAY = date(2026, 11, 22)
NAMES = [
    "20261115T120000Z.json",
    "backup-2026-11-15.20261115T120000Z.json",
    "backup-2026-11-08.20261108T120000Z.json",
    "backup-2026-11-08.json",
    "other",
]
SEAL = Seal(
    id="20261115T120000Z",
    host="potato",
    started_at="2026-11-15T12:00:00Z",
    sealed_at="2026-11-15T12:10:00Z",
    version_at="2026-11-15T12:10:01Z",
    manifest=ManifestReference("manifests/20261115T120000Z.jsonl.gz", "ab" * 32, 1000),
    trees={"docker-volumes": Amount(10, 1000)},
    upload=Amount(9, 900),
    data="weekly/backup-2026-11-15",
)


def test_names_tell_the_date_and_the_night() -> None:
    assert weeklies_of(NAMES) == [
        WeeklyName("backup-2026-11-08", "20261108T120000Z"),
        WeeklyName("backup-2026-11-15", "20261115T120000Z"),
    ]
    newest = weeklies_of(NAMES)[-1]
    assert newest.date == date(2026, 11, 15)
    assert newest.path == "points/backup-2026-11-15.20261115T120000Z.json"
    assert newest.data == "weekly/backup-2026-11-15"
    assert ids_of_seals(NAMES) == ["20261115T120000Z"]
    assert is_weekly_name(weekly_name(SUNDAY))
    assert not is_weekly_name(".unfinished-backup-2026-11-22")


@pytest.mark.parametrize(
    ("today", "made", "nights", "due"),
    [
        (date(2026, 11, 22), [], [], True),
        (date(2026, 11, 22), [date(2026, 11, 15)], ["20261121T120000Z"], True),
        (date(2026, 11, 22), [date(2026, 11, 22)], ["20261121T120000Z"], False),
        (date(2026, 11, 21), [date(2026, 11, 15)], ["20261120T120000Z"], False),
        # Sunday's night failed: the next good night makes up for it.
        (date(2026, 11, 24), [date(2026, 11, 15)], ["20261121T120000Z"], True),
        (date(2026, 11, 25), [date(2026, 11, 24)], ["20261121T120000Z"], False),
        # A board that is new in the middle of the week waits for its day.
        (date(2026, 11, 25), [], [], False),
        (date(2026, 11, 26), [], ["20261125T120000Z"], False),
    ],
)
def test_when_a_weekly_point_is_due(
    today: date, made: list[date], nights: list[str], due: bool
) -> None:
    assert is_due(today, 6, made, nights) is due


def test_which_one_a_person_means() -> None:
    weeklies = weeklies_of(NAMES)
    assert choose_weekly(weeklies, "").name == "backup-2026-11-15"
    assert choose_weekly(weeklies, "2026-11-08").name == "backup-2026-11-08"
    assert choose_weekly(weeklies, "backup-2026-11-08").name == "backup-2026-11-08"
    with pytest.raises(BackupError, match="no weekly point of 2026-11-09"):
        choose_weekly(weeklies, "2026-11-09")
    with pytest.raises(ConfigError, match="'last' is no date"):
        choose_weekly(weeklies, "last")
    with pytest.raises(BackupError, match="there is no weekly point"):
        choose_weekly([], "")


def test_a_point_is_stored_and_read_again() -> None:
    point = WeeklyPoint("backup-2026-11-15", "copy", "2026-11-15T12:20:00Z", SEAL)
    assert parse_weekly(point.to_json(), "name") == point
    with pytest.raises(BackupError, match="name is not a weekly point"):
        parse_weekly("{}", "name")
    with pytest.raises(BackupError, match="newer version"):
        parse_weekly('{"version": 2}', "name")


def test_a_date_that_no_calendar_has_is_no_weekly_point() -> None:
    assert is_weekly_name("backup-2026-02-28")
    assert not is_weekly_name("backup-2026-02-30")
    assert weeklies_of(["backup-2026-02-30.20260301T020000Z.json"]) == []
