# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state directory at its worst: damaged by a power cut, on a full or a read-only disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.second.nightly_copy import last_point

from .container_lab import Lab, needed_image
from .night_host import BUCKET, NightHost, differences

STATE_BYTES = 256 * 1024
# A record of disks decides whether a night may begin: nothing guesses it.
NEVER_GUESSED = ("disks.json",)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A disk of its own at *path*, with what is there."""
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    options = ("-t", "tmpfs", "-o", f"size={STATE_BYTES}")
    subprocess.run(["mount", *options, "tmpfs", path], check=True)
    try:
        shutil.copytree(kept, path, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill_up(path: Path) -> None:
    """Leave not a byte on the disk at *path*."""
    with (
        contextlib.suppress(OSError),
        (path / "filler").open("wb", buffering=0) as filler,
    ):
        while filler.write(b"x" * 4096):
            pass


def read_only(path: Path) -> None:
    """What the kernel does with a disk that has errors."""
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)


def test_damaged_state_is_made_anew_and_costs_no_point(host: NightHost) -> None:
    first = host.night()["point"]
    for path in host.state.iterdir():
        if path.is_file() and path.name not in NEVER_GUESSED:
            path.write_bytes(b"\0" * path.stat().st_size)
    (host.state / "second.json").write_bytes(b"\0\0")
    assert last_point(StateFiles(str(host.state))) is None
    status = host.program("status")
    assert (status.returncode, "last_run.json is not a run record" in status.stderr) == (1, True)
    (host.volumes / "db/_data/base/010").write_bytes(b"after the power cut")
    time.sleep(1.1)

    done = host.program("run", "--json")
    assert done.returncode == 3, done.stderr
    record = json.loads(done.stdout)
    [warning] = record["warnings"]
    assert "last_seal.json is not a seal" in warning
    assert "newest one in the bucket counts" in warning
    assert record["upload"]["files"] == 1
    assert [point["id"] for point in json.loads(host.program("snapshots", "--json").stdout)] == [
        first,
        record["point"],
    ]
    target = host.directory / "restored"
    assert host.program("restore", "daily", "--yes", "--target", str(target)).returncode == 0
    assert differences(host.volumes, target / f"docker-volumes{host.volumes}") == ""

    # What decides whether a night may begin stops it instead.
    (host.state / "disks.json").write_bytes(b"\0" * 100)
    done = host.program("run")
    assert done.returncode == 1
    assert "disks.json is not JSON" in done.stderr
    assert "remove the file and run site.yml" in done.stderr


def test_a_full_or_read_only_state_disk_stops_the_night_before_it_changes_anything(
    host: NightHost,
) -> None:
    host.night()
    (host.volumes / "db/_data/base/010").write_bytes(b"changed")
    stored = host.stand_in.files(BUCKET)
    staged = host.ssd / f"backup-staging/daily/docker-volumes{host.volumes}"
    before = (staged / "db/_data/base/010").read_bytes()

    def refused(reason: str) -> None:
        done = host.program("run")
        assert done.returncode == 1
        assert f"paths.state: {host.state} can't be written: {reason}" in done.stderr
        assert "the run record can't be kept" in done.stderr
        assert host.stand_in.files(BUCKET) == stored
        assert (staged / "db/_data/base/010").read_bytes() == before

    with small_disk(host.state):
        fill_up(host.state)
        refused("No space left on device")
        read_only(host.state)
        refused("Read-only file system")
        target = host.directory / "restored"
        assert host.program("restore", "daily", "--yes", "--target", str(target)).returncode == 0


def test_a_night_whose_record_can_not_be_kept_ends_with_a_warning(host: NightHost) -> None:
    (host.state / "runs").write_bytes(b"not a directory")
    done = host.program("run", "--json")
    assert done.returncode == 3, done.stderr
    record = json.loads(done.stdout)
    assert (record["outcome"], bool(record["point"])) == ("warnings", True)
    assert "the run record can't be kept" in record["warnings"][0]
    assert "warnings after" in host.log()


def test_a_recovery_starts_containers_with_its_disk_full_and_read_only(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", needed_image()) as lab, small_disk(lab.directory / "state"):
        lab.run("web")
        config = lab.config(include=[lab.name("web")])
        for make_it_bad in (fill_up, read_only):
            (lab.directory / "state/filler").unlink(missing_ok=True)
            killed = lab.drive("--capture", "--at", "cold", "1", "9", config=config)
            assert (killed.returncode, lab.states()) == (-9, {"web": "exited"}), killed.stderr
            make_it_bad(lab.directory / "state")
            done = lab.program("recover", config=config)
            assert lab.states() == {"web": "running"}, done.stderr
