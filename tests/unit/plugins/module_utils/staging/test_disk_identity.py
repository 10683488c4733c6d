# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import (
    Mount,
    read_mounts,
)
from ansible_collections.lepotato.backup.plugins.module_utils.staging.disk_identity import (
    Disk,
    DiskLook,
    DiskRecord,
    disk_of,
    is_same,
    record_from_json,
)

SSD = Disk("/mnt/ssd", "11-22", "", "ext4", "/dev/sda1")
ROOT = Mount("/", "179:2", "overlay", "/dev/mmcblk0p2", False)


def disk_mount(path: Path, **changes: Any) -> Mount:
    # xfs: without an fsid that follows from the UUID, and these devices have no UUID here.
    return Mount(str(path), "8:1", "xfs", "/dev/sda1", False)._replace(**changes)


def look(record: DiskRecord | None, path: Path, mounts: list[Mount]) -> DiskLook:
    ssd = disk_of(mounts[1], "/nonexistent")
    return DiskLook(
        record,
        ssd,
        [str(path)],
        mounts,
        outside=str(path / "staging"),
        by_uuid_directory="/nonexistent",
    )


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (replace(SSD, source="/dev/sdb1"), True),
        (replace(SSD, uuid="33-44"), False),
        (replace(SSD, mount_point="/mnt/other"), False),
        # udev gave no UUID this time, and xfs has no other mark.
        (replace(SSD, uuid=""), True),
        (replace(SSD, uuid="", source="/dev/sdb1"), False),
    ],
)
def test_a_file_system_is_known_by_its_uuid_and_place(found: Disk, same: bool) -> None:
    assert is_same(SSD, found) is same


def test_without_a_uuid_the_fsid_decides() -> None:
    recorded = replace(SSD, uuid="", fsid="aa")
    assert is_same(recorded, replace(recorded, uuid="11-22", source="/dev/sdb1"))
    assert not is_same(recorded, replace(recorded, fsid="bb"))


def test_the_root_file_system_may_move_to_another_card() -> None:
    root = replace(SSD, mount_point="/")
    assert is_same(root, replace(root, uuid="33-44", source="/dev/mmcblk1p1"))
    assert not is_same(root, SSD)


def test_the_uuid_is_that_of_the_link_to_the_mounts_device(tmp_path: Path) -> None:
    device = os.stat("/dev/null").st_rdev
    (tmp_path / "0a0a").symlink_to("/dev/zero")
    (tmp_path / "1b1b").symlink_to("/dev/null")
    (tmp_path / "0000-gone").symlink_to("/dev/nonexistent")
    number = f"{os.major(device)}:{os.minor(device)}"
    mount = Mount("/", number, "xfs", "/dev/null", False)
    assert disk_of(mount, str(tmp_path)).uuid == "1b1b"
    assert disk_of(mount._replace(device_number="99:99"), str(tmp_path)).uuid == ""


def test_this_machines_mounts_have_an_identity_that_stays() -> None:
    for mount in read_mounts():
        if mount.file_system in ("ext4", "btrfs", "overlay"):
            assert is_same(disk_of(mount), disk_of(mount))


def test_a_disk_that_is_gone_from_below_a_source_is_noticed(tmp_path: Path) -> None:
    photos = disk_mount(
        tmp_path / "photos", file_system="ext4", device_number="8:17", source="/dev/sdb1"
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "volumes/web/_data").mkdir(parents=True)
    (tmp_path / "staging").mkdir()
    mounts = [
        ROOT,
        disk_mount(tmp_path),
        photos,
        # A volume of Docker's, the staging image, and something without a mark of its own.
        photos._replace(mount_point=str(tmp_path / "volumes/web/_data")),
        photos._replace(mount_point=str(tmp_path / "staging")),
        photos._replace(mount_point="/proc", file_system="proc"),
    ]
    first = look(None, tmp_path, mounts)
    assert first.problems == []
    assert first.unrecorded == [str(tmp_path)]
    assert [disk.mount_point for disk in first.sources[str(tmp_path)]] == [
        str(tmp_path),
        str(tmp_path / "photos"),
    ]
    record = DiskRecord("s", first.ssd, first.sources)
    assert look(record, tmp_path, mounts).problems == []

    (problem,) = look(record, tmp_path, mounts[:2]).problems
    assert problem.startswith(f"{tmp_path}: expected fsid ")
    assert f"(ext4 on /dev/sdb1) mounted at {tmp_path}/photos, found xfs on /dev/sda1" in problem


def test_a_source_that_another_mount_covers_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "docker/volumes"
    source.mkdir(parents=True)
    mounts = [ROOT, disk_mount(tmp_path)]
    first = look(None, source, mounts)
    record = DiskRecord("s", first.ssd, first.sources)
    cover = disk_mount(source.parent, device_number="8:17", source="/dev/sdb1")
    (problem,) = look(record, source, [*mounts, cover]).problems
    assert f"expected xfs on /dev/sda1 mounted at {tmp_path}, found xfs on /dev/sdb1" in problem
    # The same file system, seen a second time.
    again = disk_mount(source.parent)
    assert len(look(record, source, [*mounts, again]).problems) == 1


def test_another_ssd_is_told_once_for_all_that_lies_on_it(tmp_path: Path) -> None:
    mounts = [ROOT, disk_mount(tmp_path)]
    first = look(None, tmp_path, mounts)
    record = DiskRecord("s", first.ssd, first.sources)
    swapped = [ROOT, disk_mount(tmp_path, source="/dev/sdb1")]
    (problem,) = look(record, tmp_path, swapped).problems
    assert problem.startswith(f"the SSD, {tmp_path}: expected xfs on /dev/sda1")


def test_a_source_that_is_not_there_yet_is_not_recorded(tmp_path: Path) -> None:
    mounts = [ROOT, disk_mount(tmp_path)]
    first = look(None, tmp_path / "later", mounts)
    assert (first.sources, first.unrecorded) == ({}, [])


def test_a_record_is_read_back_and_a_damaged_one_is_named() -> None:
    record = DiskRecord("s", SSD, {"/srv": (SSD,)})
    assert record_from_json(json.loads(json.dumps(record.to_json())), "f") == record
    wrongs: list[Any] = [[], {}, {"sentinel": "s", "ssd": {"uuid": 1}, "sources": {}}]
    for wrong in wrongs:
        with pytest.raises(BackupError, match=r"/disks.json is not a record.*run site\.yml"):
            record_from_json(wrong, "/disks.json")
