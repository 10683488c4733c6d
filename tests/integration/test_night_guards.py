# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guards must not refuse for ever what an ordinary home does every day."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .night_host import NightHost, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

SPARSE_BYTES = 40 * 1024**3


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[NightHost]:
    with mounted_ssd(tmp_path) as ssd, StandIn.start() as stand_in:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        yield host


def test_a_sparse_file_needs_its_blocks_and_not_its_size(host: NightHost) -> None:
    disk = host.volumes / "vm/disk.img"
    disk.parent.mkdir()
    with disk.open("wb") as stream:
        stream.truncate(SPARSE_BYTES)
        stream.seek(1000)
        stream.write(b"x" * 5000)
    dry = host.program("run", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "looking at each file that would be copied" in dry.stderr


def test_what_does_not_fit_is_named(host: NightHost) -> None:
    size = os.statvfs(host.ssd).f_bavail * os.statvfs(host.ssd).f_frsize
    (host.volumes / "big file\n").write_bytes(os.urandom(size * 6 // 10))
    done = host.program("run")
    assert done.returncode == 1
    assert "staging needs" in done.stderr
    assert f"The largest to copy: {host.volumes}/big file\\n (" in done.stderr


def test_names_that_are_all_new_each_day_need_no_consent(host: NightHost) -> None:
    recordings = host.volumes / "camera/recordings"
    recordings.mkdir(parents=True)
    for day in range(3):
        for path in recordings.iterdir():
            path.unlink()
        for number in range(150):
            (recordings / f"{day}-{number}.mp4").write_bytes(os.urandom(50))
        record = host.night()
        time.sleep(1.1)
    assert record["upload"]["hidden"] == 150


def test_names_that_are_only_gone_still_do(host: NightHost) -> None:
    # Of one tree as many are gone as come anew in another.
    for number in range(250):
        (host.volumes / f"{number}.txt").write_bytes(b"x")
    host.night()
    time.sleep(1.1)
    for number in range(160):
        (host.volumes / f"{number}.txt").unlink()
        (host.compose / f"{number}.yml").write_bytes(b"x")
    host.write_config(guards={**host.config()["guards"], "shrink_percent_max": 100})
    done = host.program("run")
    assert done.returncode == 1
    assert "160 files of the bucket would be hidden, 160 more than come anew" in done.stderr
    assert "agent_delete_percent_max" in done.stderr
    assert host.program("run", "--accept-shrink").returncode == 0
