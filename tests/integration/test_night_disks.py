# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nights on a host whose disks are not those that they were, and whose clock jumped."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .night_host import NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting disks needs root")

DISK_BYTES = 48 * 1024**2


@pytest.fixture
def disks() -> Iterator[ExitStack]:
    """Unmounts what a test mounts, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def host(tmp_path: Path, disks: ExitStack) -> Iterator[NightHost]:
    with StandIn.start(tmp_path / "b2") as stand_in:
        host = NightHost(tmp_path, disks.enter_context(mounted_ssd(tmp_path, DISK_BYTES)), stand_in)
        host.fill()
        yield host


def new_disk(host: NightHost, disks: ExitStack, name: str) -> Path:
    directory = host.directory / name
    directory.mkdir()
    return disks.enter_context(mounted_ssd(directory, DISK_BYTES))


def mount_over(disks: ExitStack, disk: Path, place: Path) -> None:
    """Let *place* show another disk, as a swap of disks does."""
    subprocess.run(["mount", "--bind", disk, place], check=True)
    disks.callback(lambda: subprocess.run(["umount", "--lazy", place], check=False))


def everything(*trees: Path) -> list[tuple[str, float]]:
    # The log tells of a night that was refused, and the probe for a dead disk comes and goes.
    return sorted(
        (str(path), path.lstat().st_mtime)
        for tree in trees
        for path in tree.rglob("*")
        if "logs" not in path.parts and path.name != "backup-staging"
    )


def refusal(host: NightHost, *arguments: str) -> str:
    """What a night says that must be refused and must leave the SSD and the record alone."""
    record = (host.state / "disks.json").read_bytes()
    before = everything(host.ssd)
    done = host.program("run", *arguments)
    assert done.returncode == 1, done.stderr
    assert everything(host.ssd) == before
    assert (host.state / "disks.json").read_bytes() == record
    return done.stderr


def test_a_replaced_ssd_with_the_same_files_stops_the_night_until_it_is_accepted(
    host: NightHost, disks: ExitStack
) -> None:
    host.night()
    record = json.loads((host.state / "disks.json").read_text())
    assert sorted(record["sources"]) == sorted([str(host.volumes), str(host.compose)])
    disk = new_disk(host, disks, "other")
    subprocess.run(["rsync", "-aHAX", f"{host.ssd}/", f"{disk}/"], check=True)
    mount_over(disks, disk, host.ssd)

    said = refusal(host)
    assert f"the SSD, {host.volumes}: expected" in said
    assert record["ssd"]["fsid"] in said
    assert "run backup-to-b2.sh --accept-disks once" in said
    # Looking with a dry run accepts nothing for good.
    assert host.program("run", "--dry-run", "--accept-disks").returncode == 0
    refusal(host)

    host.night("--accept-disks")
    (host.volumes / "db/_data/base/004").write_bytes(b"changed")
    assert host.night()["upload"]["files"] == 1


def test_an_empty_ssd_is_staged_anew_when_it_is_accepted(host: NightHost, disks: ExitStack) -> None:
    host.night()
    disk = new_disk(host, disks, "empty")
    subprocess.run(["rsync", "-aHAX", f"{host.ssd}/docker", f"{disk}/"], check=True)
    mount_over(disks, disk, host.ssd)
    assert "expected" in refusal(host)
    record = host.night("--accept-disks")
    # What the bucket holds is not sent again.
    assert record["upload"]["files"] == 0
    staged = host.ssd / "backup-staging/daily/docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(host.volumes, staged) == ""
    host.night()


def test_an_ssd_without_its_sentinel_stops_the_night(host: NightHost) -> None:
    host.night()
    (host.ssd / "backup-staging/.lepotato-backup-disk").unlink()
    assert ".lepotato-backup-disk: expected the one of this host's SSD, found none" in refusal(host)
    host.night("--accept-disks")
    host.night()


def test_a_source_whose_disk_is_gone_or_covered_stops_the_night(
    host: NightHost, disks: ExitStack
) -> None:
    photos = new_disk(host, disks, "photos")
    (photos / "one.jpg").write_bytes(b"jpg")
    mount_point = host.directory / "srv/photos"
    mount_point.mkdir(parents=True)
    (mount_point / "one.jpg").write_bytes(b"under the disk")
    subprocess.run(["mount", "--bind", photos, mount_point], check=True)
    sources = [
        *host.config()["sources"],
        {"tree": "photos", "paths": [str(mount_point)]},
        {"tree": "srv", "paths": [str(mount_point.parent)]},
    ]
    host.night()
    host.write_config(sources=sources)
    host.night()
    assert f"{mount_point}: its disk is remembered from now on" in host.log()

    subprocess.run(["umount", mount_point], check=True)
    said = refusal(host)
    assert f"{mount_point}, {mount_point.parent}: expected" in said
    assert f"mounted at {mount_point}, found" in said
    subprocess.run(["mount", "--bind", photos, mount_point], check=True)
    disks.callback(lambda: subprocess.run(["umount", "--lazy", mount_point], check=False))
    host.night()

    # Another mount over a source on the SSD, holding the same files.
    disk = new_disk(host, disks, "cover")
    subprocess.run(["rsync", "-aHAX", f"{host.volumes}/", f"{disk}/"], check=True)
    mount_over(disks, disk, host.volumes)
    assert f"{host.volumes}: expected" in refusal(host)


def test_a_clock_that_jumped_stops_the_night(host: NightHost) -> None:
    host.night()
    host.stand_in.advance_clock(3600, lifecycle=False)
    assert "s behind Backblaze's" in refusal(host)
    host.stand_in.advance_clock(-2 * 3600, lifecycle=False)
    assert "s ahead of Backblaze's" in refusal(host)
    host.stand_in.advance_clock(3600, lifecycle=False)
    host.night()

    # A board without network time that starts before the last night.
    seal = host.state / "last_seal.json"
    known = json.loads(seal.read_text())
    future = {**known, "id": "2" + "9" * 3 + known["id"][4:]}
    seal.write_text(json.dumps(future))
    assert f"clock is before the last sealed night {future['id']}" in refusal(host)
