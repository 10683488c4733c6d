# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Type

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.second.disk import (
    DiskMissing,
    held_disk,
    require_disk,
)

# An SSD, a USB disk, one that the kernel has set read-only, a tmpfs, and directories of the SSD
# and of the SD card that are mounted a second time.
MOUNTINFO = r"""
22 1 179:1 / / rw,noatime - ext4 /dev/mmcblk0p1 rw
31 22 8:1 / /mnt/ssd rw,noatime - ext4 /dev/sda1 rw
32 22 8:17 / /mnt/usb rw - ext4 /dev/sdb1 rw
33 22 8:33 / /mnt/broken rw - ext4 /dev/sdc1 ro,errors=remount-ro
34 22 0:45 / /mnt/memory rw - tmpfs tmpfs rw
35 22 8:1 /x /mnt/ssd-again rw - ext4 /dev/sda1 rw
36 22 179:1 /x /mnt/root-again rw - ext4 /dev/mmcblk0p1 rw
""".strip()


@pytest.fixture
def mountinfo(tmp_path: Path) -> str:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTINFO, encoding="utf-8")
    return str(path)


def test_a_disk_of_its_own_will_do(mountinfo: str) -> None:
    for path in ("/mnt/usb", "/mnt/usb/backup"):
        assert require_disk(path, "/mnt/ssd", mountinfo).source == "/dev/sdb1"


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/mnt/usb2/backup", DiskMissing, "no disk is mounted there"),
        ("/mnt/root-again/backup", DiskMissing, "no disk is mounted there"),
        ("/mnt/ssd/backup", BackupError, "lies on the SSD that is backed up"),
        ("/mnt/ssd-again", BackupError, "lies on the SSD that is backed up"),
        ("/mnt/memory", BackupError, "keeps its files in memory only"),
        ("/mnt/broken/backup", BackupError, "is mounted read-only"),
    ],
)
def test_what_can_not_be_the_second_destination(
    mountinfo: str, path: str, kind: Type[BackupError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        require_disk(path, "/mnt/ssd", mountinfo)
    assert f"lepotato_backup_second_path ({path})" in str(caught.value)


def test_nothing_is_made_below_an_empty_mount_point(tmp_path: Path) -> None:
    # Wherever tests lie, the root file system holds /: nothing else is mounted at this path.
    path = "/nonexistent-usb/backup"
    with pytest.raises(DiskMissing), held_disk(path, str(tmp_path)):
        raise AssertionError("there is no disk")
    assert not Path("/nonexistent-usb").exists()
