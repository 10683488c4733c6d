# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nights that stage into an image: beside a full SSD, with a full image, and without it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image import StagingImage
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image_plan import ImagePlaces
from b2_standin.client import StandIn

from .night_host import NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

MIB = 1024**2
SSD_BYTES = 160 * MIB
IMAGE_BYTES = 64 * MIB


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NightHost]:
    with StandIn.start(tmp_path / "b2") as stand_in, mounted_ssd(tmp_path, SSD_BYTES) as ssd:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        yield host


def test_a_night_in_an_image(host: NightHost) -> None:
    fstab = host.directory / "fstab"
    staging = host.ssd / "backup-staging"
    host.night()
    image = StagingImage(ImagePlaces(str(host.ssd), str(staging), str(fstab)), SubprocessRunner())
    image.apply("image", IMAGE_BYTES)
    try:
        host.write_config(staging={"mode": "image"})
        # What was staged came along: nothing is sent again.
        assert host.night()["upload"]["files"] == 0

        filler = host.ssd / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False)
        with (host.volumes / "db/_data/base/004").open("r+b") as stream:
            stream.write(b"changed")
        assert host.night()["upload"]["files"] == 1
        filler.unlink()

        (host.volumes / "db/_data/large").write_bytes(os.urandom(IMAGE_BYTES - 4 * MIB))
        refused = host.program("run")
        assert refused.returncode == 1
        assert f"must stay free, but {staging} has" in refused.stderr
        (host.volumes / "db/_data/large").unlink()

        subprocess.run(["umount", staging], check=True)
        refused = host.program("run")
        assert refused.returncode == 1
        assert f"the staging image is not mounted at {staging}" in refused.stderr
        assert f"Run 'mount {staging}'" in refused.stderr
        assert os.listdir(staging) == []
        assert host.program("run", "--accept-disks").returncode == 1
        assert os.listdir(staging) == []

        subprocess.run(["mount", "--fstab", fstab, staging], check=True)
        (host.volumes / "db/_data/base/005").write_bytes(b"changed too")
        record = host.night()
        target = host.directory / "restored"
        done = host.program("restore", record["point"], "--yes", "--target", str(target))
        assert done.returncode == 0, done.stderr
        restored = target / "docker-volumes" / str(host.volumes).lstrip("/")
        assert differences(host.volumes, restored) == ""
    finally:
        image.apply("removed")
