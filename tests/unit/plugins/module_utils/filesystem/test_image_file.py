# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.image_file import (
    MEBIBYTE_BYTES,
    look_at_image,
    make_image,
    reserve,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner

pytestmark = pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4")

SIZE_BYTES = 64 * MEBIBYTE_BYTES


def test_an_image_is_allocated_to_its_last_byte_and_holds_a_file_system(tmp_path: Path) -> None:
    path = tmp_path / "image"
    assert look_at_image(str(path)) is None
    make_image(str(path), SIZE_BYTES, SubprocessRunner())
    image = look_at_image(str(path))
    assert image is not None
    assert image.is_whole
    assert image.size_bytes == SIZE_BYTES <= image.allocated_bytes
    assert image.file_system_bytes == SIZE_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    subprocess.run(["e2fsck", "-fn", path], check=True, capture_output=True)


def test_holes_and_an_unused_end_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "image"
    make_image(str(path), SIZE_BYTES, SubprocessRunner())
    subprocess.run(["fallocate", "--punch-hole", "-o", "40M", "-l", "1M", path], check=True)
    holed = look_at_image(str(path))
    assert holed is not None
    assert not holed.is_whole
    reserve(str(path), SIZE_BYTES)
    filled = look_at_image(str(path))
    assert filled is not None
    assert filled.is_whole
    reserve(str(path), 2 * SIZE_BYTES)
    grown = look_at_image(str(path))
    assert grown is not None
    assert (grown.size_bytes, grown.file_system_bytes) == (2 * SIZE_BYTES, SIZE_BYTES)
    assert not grown.is_whole


def test_what_is_no_image_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x")
    (tmp_path / "noise").write_bytes(os.urandom(1024) + bytes(4096))
    for name in ("short", "noise"):
        image = look_at_image(str(tmp_path / name))
        assert image is not None
        assert image.file_system_bytes == 0
    (tmp_path / "link").symlink_to("short")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(BackupError, match="is not a file"):
            look_at_image(str(path))
