# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are mounted only while their container runs: local volumes with a device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.container_lab import IDLE, Lab, docker, needed_image, night

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="Docker and mounts need root")


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab", needed_image()) as lab:
        yield lab


@pytest.fixture(name="volume")
def _volume(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A local volume with a device: a directory elsewhere, with data in it."""
    device = tmp_path / "nas/photos"
    device.mkdir(parents=True)
    (device / "one.jpg").write_bytes(b"a photo")
    name = lab.name("photos")
    docker(
        *("volume", "create", "--driver", "local", "-o", "type=none", "-o", "o=bind"),
        *("-o", f"device={device}", name),
        socket=lab.socket,
    )
    yield name
    docker("rm", "-f", lab.name("app"), socket=lab.socket, check=False)
    docker("volume", "rm", "-f", name, socket=lab.socket, check=False)


def mountpoint(lab: Lab, volume: str) -> Path:
    told = docker("volume", "inspect", "-f", "{{.Mountpoint}}", volume, socket=lab.socket)
    return Path(told.strip())


def config_with(lab: Lab, path: Path) -> dict[str, Any]:
    config: dict[str, Any] = dict(lab.config())
    sources = [dict(source) for source in config["sources"]]
    sources[0]["paths"] = [*sources[0]["paths"], str(path)]
    return {**config, "sources": sources}


def test_a_volume_that_goes_away_with_its_container_is_not_emptied(
    lab: Lab, volume: str, tmp_path: Path
) -> None:
    place = mountpoint(lab, volume)
    docker(
        *("run", "-d", "--name", lab.name("app"), "--label", f"lpb-lab={lab.prefix}"),
        *("--network", "none", "-v", f"{volume}:/photos", lab.image, "sh", "-c", IDLE),
        socket=lab.socket,
    )
    config = config_with(lab, place.parent)
    staged = lab.staged(place) / "one.jpg"

    night(lab, config=config)
    assert staged.read_bytes() == b"a photo"
    # What is deleted while it is there is deleted in staging too.
    (tmp_path / "nas/photos/two.jpg").write_bytes(b"another")
    night(lab, config=config)
    (tmp_path / "nas/photos/two.jpg").unlink()
    night(lab, config=config)
    assert sorted(os.listdir(staged.parent)) == ["one.jpg"]

    # Its owner stops the container for a while: the mount is gone, its place an empty directory.
    docker("stop", "-t", "1", lab.name("app"), socket=lab.socket)
    assert os.listdir(place) == []
    told = night(lab, config=config)
    assert staged.read_bytes() == b"a photo"
    assert told["capture"]["warnings"] == []
