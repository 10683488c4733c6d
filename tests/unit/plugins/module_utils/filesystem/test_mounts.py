# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import (
    mount_holding,
    parse_mountinfo,
    probe_io,
    read_mounts,
)

# Lines as a Le Potato with an SSD shows them, one with a space in its path and one read-only.
MOUNTINFO = r"""
22 1 179:1 / / rw,noatime - ext4 /dev/mmcblk0p1 rw
31 22 8:1 / /mnt/ssd rw,noatime shared:1 - ext4 /dev/sda1 rw
32 22 8:2 / /mnt/usb\040disk rw - vfat /dev/sdb1 rw
33 22 8:3 / /mnt/broken rw - ext4 /dev/sdc1 ro,errors=remount-ro
34 31 0:45 / /mnt/ssd/docker/overlay2/x/merged rw - overlay overlay rw
""".strip()


def test_the_longest_mount_point_holds_a_path() -> None:
    mounts = parse_mountinfo(MOUNTINFO)
    for path, point in {
        "/mnt/ssd/docker/volumes": "/mnt/ssd",
        "/mnt/ssd": "/mnt/ssd",
        "/mnt/ssd2": "/",
        "/mnt/usb disk/a": "/mnt/usb disk",
    }.items():
        mount = mount_holding(path, mounts)
        assert mount is not None
        assert mount.mount_point == point


def test_a_mount_tells_its_device_and_whether_it_may_be_written() -> None:
    mounts = {mount.mount_point: mount for mount in parse_mountinfo(MOUNTINFO)}
    ssd = mounts["/mnt/ssd"]
    assert (ssd.source, ssd.file_system, ssd.device_number) == ("/dev/sda1", "ext4", "8:1")
    assert not ssd.read_only
    assert mounts["/mnt/broken"].read_only


def test_the_mounts_of_this_machine_can_be_read() -> None:
    assert "/" in [mount.mount_point for mount in read_mounts()]


def test_the_probe_leaves_nothing_behind_and_fails_where_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    probe_io(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BackupError, match=r"/proc can't be written"):
        probe_io("/proc")
