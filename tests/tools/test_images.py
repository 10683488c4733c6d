# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that was made in part never gets the name under which all look for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import docker, images, shell
from tools.shell import ToolError

ID = "sha256:0123"


class Client:
    """A Docker client that keeps what it was told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "docker"
        self._told = directory / "told"
        self.answers("cat >/dev/null", f"echo {ID}")

    def answers(self, *commands: str) -> None:
        lines = ["#!/bin/sh", f'echo "$*" >>{self._told}', *commands]
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o755)

    def told(self) -> list[str]:
        return self._told.read_text().splitlines()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client(tmp_path)
    for module in (docker, images):
        monkeypatch.setattr(module, "client", lambda: str(client.path))
    return client


def test_a_whole_tree_becomes_an_image_with_its_name(client: Client, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    images._import("lpb-potato:1", tree)
    assert client.told()[0].endswith(" -")
    assert client.told()[1:] == [f"image tag {ID} lpb-potato:1"]


def test_a_tree_that_could_not_be_read_whole_does_not(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="docker import lpb-potato:1 failed"):
        images._import("lpb-potato:1", tmp_path / "missing")
    assert client.told()[1:] == [f"image rm {ID}"]


def test_an_image_is_there_or_not_or_nobody_knows(client: Client) -> None:
    assert docker.image_exists("lpb-potato:1")
    client.answers("echo 'Error: No such image: lpb-potato:1' >&2; exit 1")
    assert not docker.image_exists("lpb-potato:1")
    for unknown in ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "kill -INT $$"):
        client.answers(unknown)
        with pytest.raises(ToolError, match="image inspect"):
            docker.image_exists("lpb-potato:1")


def test_a_program_ended_by_ctrl_c_gave_no_answer() -> None:
    for script in ("kill -INT $$", "exit 130"):
        with pytest.raises(ToolError, match="was interrupted"):
            shell.run(["sh", "-c", script], check=False)


def test_images_of_any_version_go_unless_one_is_in_use(client: Client) -> None:
    client.answers(
        'case "$2 $3" in',
        "'ls --format') echo $5:old; echo $5:new ;;",
        "'rm lpb-potato:old') echo 'conflict: in use' >&2; exit 1 ;;",
        "esac",
    )
    said: list[str] = []
    images.remove_images(said.append)
    assert said == [
        "the image lpb-potato:old stays: conflict: in use",
        "removed the image lpb-potato:new",
        "removed the image lpb-services:old",
        "removed the image lpb-services:new",
    ]


def test_what_a_killed_process_left_goes_and_a_live_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = (f"lpb-image-{ended.pid}-a", f"lpb-image-{os.getpid()}-b", "lpb-image-c")
    for name in names:
        (tmp_path / name / "root").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images._clear_leftovers()
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
