# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging moves into an image and back, and is killed at every step of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

DRIVER = Path(__file__).with_name("staging_image_driver.py")
SSD_BYTES = 160 * 1024**2
TIMEOUT_SECONDS = 1200

MOUNT = 'mount -o loop "$0" "$1" && shift && exec "$@"'


@pytest.fixture
def ssd(tmp_path: Path) -> Path:
    """A mount point, and in ``ssd.img`` an SSD with something staged."""
    content = tmp_path / "content/backup-staging"
    (content / "daily/docker-volumes").mkdir(parents=True)
    (content / "weekly/backup-2026-11-15/docker-volumes").mkdir(parents=True)
    for number in range(4):
        path = content / f"daily/docker-volumes/{number}"
        path.write_bytes(os.urandom(1000 * number))
        os.link(path, content / f"weekly/backup-2026-11-15/docker-volumes/{number}")
    os.chown(content / "daily/docker-volumes/1", 999, 999)
    (content / "daily/docker-volumes/2").chmod(0o4711)
    os.setxattr(content / "daily/docker-volumes/3", "user.kept", b"1")
    (content / "daily/docker-volumes/link").symlink_to("/nowhere")
    (content / ".lepotato-backup-disk").write_text("ab\n")
    image = tmp_path / "ssd.img"
    with image.open("wb") as stream:
        stream.truncate(SSD_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mount_point = tmp_path / "ssd"
    mount_point.mkdir()
    copy = 'mount -o loop "$0" "$1" && rsync -aHAX "$2/" "$1/"'
    paths = [str(path) for path in (image, mount_point, content.parent)]
    subprocess.run(["unshare", "--mount", "sh", "-c", copy, *paths], check=True)
    return mount_point


@pytest.mark.parametrize("after", ["reboot", "kill"])
def test_a_move_that_is_killed_anywhere_loses_nothing(
    ssd: Path, tmp_path: Path, after: str
) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("# kept\n")
    launcher = ["unshare", "--mount", "sh", "-c", MOUNT, str(tmp_path / "ssd.img"), str(ssd)]
    done = subprocess.run(
        [*launcher, sys.executable, str(DRIVER), str(ssd), str(fstab), after],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    if "failed to setup loop device" in done.stderr:
        pytest.skip("needs a loop device")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    for mode, needed in (("image", "mkfs.ext4"), ("directory", "umount")):
        text = "\n".join(steps[mode])
        for part in (needed, "rsync", "os.rename"):
            assert part in text, (mode, text)
