# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import Mount
from ansible_collections.lepotato.backup.plugins.module_utils.staging.area import (
    Space,
    file_system_space,
    require_capabilities,
    require_reserve,
    require_ssd,
)

ROOT = Mount("/", "179:2", "ext4", "/dev/mmcblk0p2", False)


def _ssd(path: Path, **changes: Any) -> Mount:
    return Mount(str(path), "8:1", "ext4", "/dev/sda1", False)._replace(**changes)


def test_a_mounted_ssd_is_accepted(tmp_path: Path) -> None:
    assert require_ssd(str(tmp_path), [ROOT, _ssd(tmp_path)]).source == "/dev/sda1"


def test_a_directory_on_the_sd_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError) as caught:
        require_ssd(str(tmp_path), [ROOT])
    assert "lepotato_backup_ssd_mount" in str(caught.value)
    assert "directory on /dev/mmcblk0p2" in str(caught.value)


def test_a_directory_below_the_ssd_is_refused(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    with pytest.raises(BackupError, match="directory on /dev/sda1"):
        require_ssd(str(below), [ROOT, _ssd(tmp_path)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read_only": True}, "mounted read-only"),
        ({"file_system": "tmpfs", "device_number": "0:40"}, "in memory only"),
        ({"device_number": "179:2", "source": "/dev/mmcblk0p2"}, "seen a second time"),
    ],
)
def test_a_mount_that_does_not_do_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BackupError, match=message):
        require_ssd(str(tmp_path), [ROOT, _ssd(tmp_path, **changes)])


def test_a_path_that_is_not_there_and_the_root_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="does not exist"):
        require_ssd(str(tmp_path / "ssd"), [ROOT])
    with pytest.raises(BackupError, match="fill the SD card"):
        require_ssd("/", [ROOT])


def test_the_reserve_must_be_free() -> None:
    space = Space(total_bytes=1000, free_bytes=600)
    require_reserve("/mnt/ssd", space, 600)
    with pytest.raises(BackupError, match=r"staging_reserve_bytes \(601\) is more than"):
        require_reserve("/mnt/ssd", space, 601)
    with pytest.raises(BackupError, match=r"staging_reserve_bytes \(1000\) is larger than the SSD"):
        require_reserve("/mnt/ssd", space, 1000)


def test_the_space_is_the_file_systems(tmp_path: Path) -> None:
    space = file_system_space(str(tmp_path))
    assert 0 < space.free_bytes <= space.total_bytes


def test_trying_a_file_system_leaves_nothing_behind(tmp_path: Path) -> None:
    require_capabilities(str(tmp_path))
    assert os.listdir(tmp_path) == []
