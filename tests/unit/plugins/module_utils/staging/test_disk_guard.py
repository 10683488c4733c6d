# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import Mount
from ansible_collections.lepotato.backup.plugins.module_utils.staging.disk_guard import (
    SENTINEL_NAME,
    DiskGuard,
    DiskPlaces,
    read_record,
    read_sentinel,
)

ROOT = Mount("/", "179:2", "overlay", "/dev/mmcblk0p2", False)


@pytest.fixture
def places(tmp_path: Path) -> DiskPlaces:
    for name in ("ssd/staging", "ssd/data", "state"):
        (tmp_path / name).mkdir(parents=True)
    ssd = tmp_path / "ssd"
    sources = (str(ssd / "data"), str(tmp_path / "on-root"))
    return DiskPlaces(str(ssd), str(ssd / "staging"), sources, str(tmp_path / "state/disks.json"))


def guard(
    places: DiskPlaces, source: str = "/dev/sda1", *, accept: bool = False, up: bool = True
) -> DiskGuard:
    mounts = [ROOT, Mount(places.ssd, "8:1", "xfs", source, False)]
    return DiskGuard(places, mounts, accept=accept, with_sentinel=up)


def settled(places: DiskPlaces) -> DiskGuard:
    first = guard(places)
    first.refuse_strangers()
    first.settle()
    return first


def test_a_new_host_takes_what_it_finds_and_writes_nothing_before_it_settles(
    places: DiskPlaces,
) -> None:
    first = guard(places)
    first.refuse_strangers()
    assert first.is_changed
    assert (read_record(places.record), read_sentinel(places.staging)) == (None, None)
    first.settle()
    assert read_sentinel(places.staging) == first.sentinel
    record = read_record(places.record)
    assert record is not None
    assert list(record.sources) == [places.sources[0]]
    assert Path(places.record).stat().st_mode & 0o777 == 0o600
    assert not guard(places).is_changed


def test_an_ssd_that_came_with_its_sentinel_is_taken_as_it_is(places: DiskPlaces) -> None:
    sentinel = settled(places).sentinel
    Path(places.record).unlink()
    moved = guard(places, "/dev/sdb1")
    moved.refuse_strangers()
    moved.settle()
    record = read_record(places.record)
    assert record is not None
    assert (record.sentinel, record.ssd.source) == (sentinel, "/dev/sdb1")


def test_another_disk_is_refused_until_it_is_accepted(places: DiskPlaces) -> None:
    settled(places)
    with pytest.raises(BackupError, match=r"/dev/sda1.*found xfs on /dev/sdb1.*--accept-disks"):
        guard(places, "/dev/sdb1").refuse_strangers()
    accepted = guard(places, "/dev/sdb1", accept=True)
    accepted.refuse_strangers()
    accepted.settle()
    guard(places, "/dev/sdb1").refuse_strangers()
    with pytest.raises(BackupError, match="found xfs on /dev/sda1"):
        guard(places).refuse_strangers()


@pytest.mark.parametrize(
    ("text", "found"), [(None, "found none"), ("ff\n", "found another host's or disk's")]
)
def test_a_missing_or_foreign_sentinel_is_refused_until_it_is_accepted(
    places: DiskPlaces, text: str | None, found: str
) -> None:
    settled(places)
    path = Path(places.staging) / SENTINEL_NAME
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(BackupError, match=f"{path}.*{found}"):
        guard(places).refuse_strangers()
    # An image that is not mounted yet shows no sentinel, and that of the record stays.
    waiting = guard(places, up=False)
    waiting.refuse_strangers()
    assert waiting.record == waiting.before
    accepted = guard(places, accept=True)
    accepted.refuse_strangers()
    accepted.settle()
    guard(places).refuse_strangers()


def test_a_staging_directory_that_was_removed_gets_a_new_sentinel(places: DiskPlaces) -> None:
    old = settled(places).sentinel
    (Path(places.staging) / SENTINEL_NAME).unlink()
    Path(places.staging).rmdir()
    again = guard(places)
    again.refuse_strangers()
    again.settle()
    assert read_sentinel(places.staging) == again.sentinel != old
    guard(places).refuse_strangers()


def test_a_source_that_turns_up_is_adopted_and_one_that_went_is_forgotten(
    places: DiskPlaces,
) -> None:
    settled(places)
    Path(places.sources[1]).mkdir()
    later = guard(places)
    later.refuse_strangers()
    assert later.unrecorded == [places.sources[1]]
    later.settle()
    assert list(json.loads(Path(places.record).read_text())["sources"]) == sorted(places.sources)

    fewer = guard(replace(places, sources=places.sources[:1]))
    assert fewer.is_changed
    fewer.settle()
    assert list(json.loads(Path(places.record).read_text())["sources"]) == [places.sources[0]]


def test_a_disk_that_turns_up_under_another_name_changes_nothing(places: DiskPlaces) -> None:
    first = settled(places)
    mounts = [ROOT, Mount(places.ssd, "8:17", "xfs", "/dev/sda1", False)]
    assert DiskGuard(places, mounts).record == first.record


def test_a_damaged_record_is_named(places: DiskPlaces) -> None:
    Path(places.record).write_text("{")
    with pytest.raises(BackupError, match=r"disks\.json is not JSON"):
        guard(places)
