# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    ConfigError,
)
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    choose_point,
    epoch_of_point,
    ids_of_seals,
    parse_seal,
    point_id,
    rfc3339,
)

IDS = ["20261120T020000Z", "20261121T020000Z", "20261122T020000Z"]
SEAL = Seal(
    id=IDS[0],
    host="potato",
    started_at="2026-11-20T02:00:00Z",
    sealed_at="2026-11-20T02:10:00Z",
    version_at="2026-11-20T02:10:01Z",
    manifest=ManifestReference("manifests/20261120T020000Z.jsonl.gz", "ab" * 32, 1000),
    trees={"docker-volumes": Amount(10, 1000), "docker-compose": Amount(1, 50)},
    upload=Amount(9, 900),
)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("daily", IDS[2]),
        ("2026-11-21", IDS[1]),
        ("2026-11-21T01:59Z", IDS[0]),
        ("2026-11-21T02:00Z", IDS[1]),
        ("2026-11-21T01:59:59", IDS[0]),
        ("2026-11-21 02:00:00Z", IDS[1]),
        ("2026-11-21 02:00", IDS[1]),
        ("20261121T020000Z", IDS[1]),
        ("2027-01-01", IDS[2]),
    ],
)
def test_a_timestamp_means_the_last_night_by_then(wanted: str, chosen: str) -> None:
    assert choose_point(IDS, wanted) == chosen


def test_what_can_not_be_chosen_says_why() -> None:
    with pytest.raises(BackupError, match="no sealed night under this prefix"):
        choose_point([], "daily")
    with pytest.raises(BackupError, match="no night was sealed by 2026-11-19: the oldest is 2026"):
        choose_point(IDS, "2026-11-19")
    for wrong in ("yesterday", "2026-13-01", "2026-11-21T25:00", "2026-11-21T02:00+01:00", ""):
        with pytest.raises(ConfigError, match=re.escape(f"'{wrong}' is no restore point")):
            choose_point(IDS, wrong)


def test_a_minute_means_its_end() -> None:
    # cron begins a night a second after the minute, and the list tells when.
    assert choose_point(["20261120T020001Z", "20261121T020001Z"], "2026-11-21T02:00Z") == (
        "20261121T020001Z"
    )


def test_only_seals_count_as_points() -> None:
    names = [
        "20261122T020000Z.json",
        "20261322T020000Z.json",
        "notes.txt",
        "20261120T020000Z.json",
        "x.json",
    ]
    assert ids_of_seals(names) == [IDS[0], IDS[2]]


def test_names_and_times_round_trip() -> None:
    assert epoch_of_point(point_id(1795312800)) == 1795312800
    assert rfc3339(epoch_of_point(IDS[0])) == "2026-11-20T02:00:00Z"


def test_a_seal_is_read_as_it_was_written() -> None:
    assert parse_seal(SEAL.to_json(), "x") == SEAL
    assert SEAL.total == Amount(11, 1050)


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 1}', SEAL.to_json()[:-20]])
def test_a_damaged_seal_is_refused_by_name(damage: str) -> None:
    with pytest.raises(BackupError, match=r"points/x\.json is not a seal"):
        parse_seal(damage, "points/x.json")


def test_a_seal_of_a_newer_version_asks_for_an_update() -> None:
    newer = json.dumps({**json.loads(SEAL.to_json()), "version": 2})
    with pytest.raises(BackupError, match="newer version"):
        parse_seal(newer, "x")
