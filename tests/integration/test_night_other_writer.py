# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else wrote to the bucket: what this host remembers of it is not believed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b2_standin.client import StandIn

from .night_host import BUCKET, NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

OLD_NS = 1_400_000_000 * 10**9


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[NightHost]:
    with mounted_ssd(tmp_path) as ssd, StandIn.start() as stand_in:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        write(host, b"first")
        yield host


def write(host: NightHost, content: bytes) -> None:
    """A night's change: one file, with a time that tells it."""
    path = host.volumes / "db/_data/changing"
    path.write_bytes(content)
    os.utime(path, ns=(OLD_NS, OLD_NS + len(content) * 10**9))


def warned(host: NightHost, *arguments: str) -> dict[str, Any]:
    """A night that ends with warnings; returns its record."""
    done = host.program("run", "--json", *arguments)
    assert done.returncode == 3, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def assert_restored(host: NightHost, target: Path) -> None:
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / host.volumes.relative_to("/")
    assert differences(host.volumes, restored) == ""


def test_an_old_image_of_this_host_is_not_believed(host: NightHost, tmp_path: Path) -> None:
    host.night()
    image = tmp_path / "image"
    shutil.copytree(host.state, image)
    time.sleep(1.1)
    write(host, b"second night")
    second = host.night()
    # The SD card and the SSD are put back to the day of the first night.
    shutil.rmtree(host.state)
    shutil.copytree(image, host.state)
    write(host, b"first")
    time.sleep(1.1)

    dry = host.program("run", "--dry-run")
    assert f"would compare the whole bucket ({second['id']} was sealed after" in dry.stderr
    record = warned(host)
    assert record["upload"]["reconciled"] is True
    assert record["upload"]["files"] == 1
    (warning,) = record["warnings"]
    assert second["id"] in warning
    assert "old image" in warning
    assert_restored(host, tmp_path / "out")
    time.sleep(1.1)
    assert host.night()["warnings"] == []


def test_a_second_living_board_is_refused_until_somebody_says_that_it_is_gone(
    host: NightHost, tmp_path: Path
) -> None:
    host.night()
    other = host.seal_of_another_board()
    before = [item["fileName"] for item in host.stand_in.files(BUCKET)]
    refused = host.program("run")
    assert refused.returncode == 1
    assert f"another board of potato sealed {other} under this prefix" in refused.stderr
    assert "lepotato_backup_host_prefix" in refused.stderr
    assert [item["fileName"] for item in host.stand_in.files(BUCKET)] == before
    record = warned(host, "--accept-writer")
    assert record["upload"]["reconciled"] is True
    assert_restored(host, tmp_path / "out")
    time.sleep(1.1)
    assert host.night()["warnings"] == []


def test_a_new_board_takes_over_without_a_word(host: NightHost, tmp_path: Path) -> None:
    host.night()
    host.seal_of_another_board()
    # Nothing is remembered on a new SD card.
    shutil.rmtree(host.state)
    host.state.mkdir()
    record = host.night()
    assert record["upload"]["reconciled"] is True
    assert_restored(host, tmp_path / "out")


def test_a_last_point_that_is_gone_is_told_and_all_is_compared(
    host: NightHost, tmp_path: Path
) -> None:
    host.night()
    time.sleep(1.1)
    second = host.night()
    host.rclone("deletefile", f"b2-encrypted:points/{second['id']}.json")
    time.sleep(1.1)
    record = warned(host)
    assert record["upload"]["reconciled"] is True
    (warning,) = record["warnings"]
    assert f"{second['id']}, which this host sealed last, is not in the bucket" in warning
    assert_restored(host, tmp_path / "out")


def test_a_night_that_died_between_its_seal_and_its_note_is_this_hosts_own(
    host: NightHost, tmp_path: Path
) -> None:
    host.night()
    note = (host.state / "last_seal.json").read_bytes()
    time.sleep(1.1)
    host.night()
    (host.state / "last_seal.json").write_bytes(note)
    time.sleep(1.1)
    record = host.night()
    assert record["upload"]["reconciled"] is True
    assert_restored(host, tmp_path / "out")
