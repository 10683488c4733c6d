# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that change where they are staged are never sealed as good."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b2_standin.client import StandIn

from .night_host import NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[NightHost]:
    with mounted_ssd(tmp_path) as ssd, StandIn.start() as stand_in:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        host.night()
        time.sleep(1.1)
        yield host


def live(host: NightHost, name: str = "base/010") -> Path:
    return host.volumes / "db/_data" / name


def staged(host: NightHost, name: str = "base/010") -> Path:
    return host.ssd / "backup-staging/daily/docker-volumes" / live(host, name).relative_to("/")


def rot(path: Path) -> None:
    """A byte that is another one, in the same inode, with size and time kept."""
    found = path.stat()
    with path.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(bytes([first[0] ^ 0xFF]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def warned(host: NightHost) -> dict[str, Any]:
    done = host.program("run", "--json")
    assert done.returncode == 3, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def assert_restored(host: NightHost, target: Path) -> None:
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / host.volumes.relative_to("/")
    assert differences(host.volumes, restored) == ""


@pytest.mark.parametrize("name", ["base/010", "base/001"])
def test_a_rotten_byte_is_mended_from_the_source(
    host: NightHost, tmp_path: Path, name: str
) -> None:
    # base/001 has a second name, "again".
    rot(staged(host, name))
    record = warned(host)
    files = 2 if name == "base/001" else 1
    assert (record["manifest"]["mended"], record["upload"]["files"]) == (files, 0)
    (warning,) = record["warnings"]
    assert "copied from their source once more" in warning
    assert staged(host, name).read_bytes() == live(host, name).read_bytes()
    assert staged(host, "base/001").stat().st_ino == staged(host, "again").stat().st_ino
    assert_restored(host, tmp_path / "out")
    time.sleep(1.1)
    assert host.night()["warnings"] == []


def test_a_changed_mode_of_the_source_does_not_seal_the_rot_below_it(
    host: NightHost, tmp_path: Path
) -> None:
    rot(staged(host))
    live(host).chmod(0o640)
    record = warned(host)
    assert record["manifest"]["mended"] == 1
    assert stat.S_IMODE(staged(host).stat().st_mode) == 0o640
    assert_restored(host, tmp_path / "out")


def test_rot_whose_source_is_gone_leaves_the_bucket_as_it_was(
    host: NightHost, tmp_path: Path
) -> None:
    # In a tree that is not looked at tonight: the source moved on after it was staged.
    good = staged(host).read_bytes()
    host.write_config(
        sources=[
            {"tree": "docker-volumes", "paths": [str(host.volumes)], "exclude": ["/nothing"]},
            {"tree": "docker-compose", "paths": [str(host.compose)]},
        ]
    )
    rot(staged(host))
    found = live(host).stat()
    live(host).write_bytes(b"x" * found.st_size)
    os.utime(live(host), ns=(found.st_atime_ns, found.st_mtime_ns))
    record = warned(host)
    assert record["manifest"]["damaged"] == 1
    assert record["upload"]["files"] == 0
    (warning,) = record["warnings"]
    assert "base/010" in warning
    assert "as they were sealed" in warning
    target = tmp_path / "out"
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / live(host).relative_to("/")
    assert restored.read_bytes() == good


def test_what_changes_between_the_manifest_and_the_upload_is_not_sealed(
    host: NightHost, tmp_path: Path
) -> None:
    live(host).write_bytes(b"new content of the night")
    # The first upload waits long enough for somebody to meddle.
    host.stand_in.fault("delay", "b2_get_upload_url", seconds=4, count=1)
    command = host.command("run")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while "new content" not in _text(staged(host)) or not _is_uploading(host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rot(staged(host))
    _out, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert "changed or are damaged since they were described" in told
    assert "base/010" in told
    time.sleep(1.1)
    # rsync sees equal size and time; the walk sees the damage, and the source is what it was.
    done = host.program("run", "--json")
    assert done.returncode in (0, 3), done.stderr
    assert_restored(host, tmp_path / "out")


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def _is_uploading(host: NightHost) -> bool:
    return any(rule["fired"] for rule in host.stand_in.faults())
