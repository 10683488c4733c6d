# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture on btrfs: services are down for a snapshot, and run while rsync reads it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import List

import pytest
from integration.container_lab import (
    Lab,
    failure,
    go_on,
    needed_image,
    night,
    pause_at,
    tree_difference,
)
from integration.file_systems import mounted

DIRECTORY = ".lepotato-cold-snapshots"

# On its stop the service writes the last of what it has: bytes of a file whose size and time stay
# as they are, a few bytes of a large file, and a new file.
WRITES_AT_THE_END = (
    "end() { printf after! > /data/racy; touch -d 2035-01-01 /data/racy; "
    "printf later | dd of=/data/large conv=notrunc 2>/dev/null; echo x > /data/last; exit 0; }; "
    "trap end TERM; while :; do sleep 0.05; done"
)


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path) -> Iterator[Lab]:
    image = needed_image()
    with mounted("btrfs", tmp_path) as place, Lab(place / "lab", image) as lab:
        yield lab


def subvolume(path: Path) -> None:
    subprocess.run(["btrfs", "-q", "subvolume", "create", str(path)], check=True)


def steps(stderr: str) -> List[str]:
    return [line.split()[1] for line in stderr.splitlines() if line.startswith("step ")]


def test_the_service_runs_while_its_snapshot_is_copied(lab: Lab) -> None:
    data = lab.volumes / "web"
    subvolume(data)
    (data / "racy").write_text("before")
    subprocess.run(["touch", "-d", "2035-01-01", str(data / "racy")], check=True)
    (data / "large").write_bytes(bytes(8 * 1024**2))
    subvolume(data / "nested")
    (data / "nested").chmod(0o2750)
    os.chown(data / "nested", 1234, 4321)
    (data / "nested/rows").write_text("first")
    subvolume(data / "nested/deep")
    (data / "nested/deep/rows").write_text("deep")
    lab.run("web", command=WRITES_AT_THE_END)

    process = pause_at(lab, "cold-copy")
    assert lab.states() == {"web": "running"}
    assert not (lab.staged(data) / "last").exists(), "nothing was copied while it was down"
    # What the service writes from now on belongs to the next night.
    for path in (data / "nested/rows", data / "last", data / "racy"):
        path.write_text("too late")
    (data / "new").write_text("too late")
    done = go_on(process)

    assert done.returncode == 0, done.stderr
    copy = lab.staged(data)
    assert (copy / "racy").read_text() == "after!"
    assert (copy / "last").read_text() == "x\n"
    assert (copy / "large").read_bytes()[:6] == b"later\0"
    assert (copy / "nested/rows").read_text() == "first"
    assert not (copy / "new").exists()
    nested = (copy / "nested").stat()
    assert (nested.st_mode & 0o7777, nested.st_uid, nested.st_gid) == (0o2750, 1234, 4321)
    assert "cloned 1 large files" in done.stderr
    assert json.loads(done.stdout)["capture"]["groups"][0]["from_snapshot"]
    order = steps(done.stderr)
    assert order.index("cold-snapshot") < order.index("start") < order.index("ready")
    assert order.index("ready") < order.index("cold-copy") < order.index("cold-drop")
    assert not (lab.daily.parent / DIRECTORY).exists()


def test_what_is_staged_from_snapshots_is_the_tree(lab: Lab) -> None:
    for path in ("web", "web/nested", "db"):
        subvolume(lab.volumes / path)
    (lab.volumes / "web/plain").write_text("x")
    os.chown(lab.volumes / "web/plain", 1234, 4321)
    (lab.volumes / "web/nested/link").symlink_to("../plain")
    os.link(lab.volumes / "web/plain", lab.volumes / "web/again")
    lab.run("web")
    lab.run("db")
    (lab.volumes / "web/gone").mkdir()
    night(lab)
    (lab.volumes / "web/gone").rmdir()
    (lab.volumes / "web/nested/more").write_text("y")
    answer = night(lab)
    assert [group["from_snapshot"] for group in answer["capture"]["groups"]] == [True, True]
    assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []


def test_a_mount_below_is_copied_while_the_service_is_down(lab: Lab) -> None:
    inner = lab.volumes / "web/inner"
    inner.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
    try:
        (inner / "rows").write_text("in memory")
        lab.run("web")
        done = lab.drive("--capture")
        assert done.returncode == 0, done.stderr
        assert f"{inner} below it is a mount of its own" in done.stderr
        assert "cold-copy" not in steps(done.stderr)
        assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []
    finally:
        subprocess.run(["umount", "--lazy", str(inner)], check=True)


def test_where_the_snapshot_can_t_be_made_rsync_walks_while_it_is_down(lab: Lab) -> None:
    lab.run("web", command=WRITES_AT_THE_END)
    taken = lab.daily.parent / DIRECTORY / "0"
    taken.mkdir(parents=True)
    done = lab.drive("--capture")
    assert done.returncode == 0, done.stderr
    assert "copied while it is down, no snapshot: File exists" in done.stderr
    assert "cold-copy" not in steps(done.stderr)
    assert f"{taken} can't be deleted" in done.stderr
    assert (lab.staged(lab.volumes) / "web/last").read_text() == "x\n"
    assert lab.states() == {"web": "running"}


def test_a_copy_from_the_snapshot_that_fails_fails_the_night_with_the_service_up(lab: Lab) -> None:
    lab.run("web", command=WRITES_AT_THE_END)
    process = pause_at(lab, "cold-copy")
    staged = lab.staged(lab.volumes / "web")
    subprocess.run(["chattr", "+i", str(staged)], check=True)
    try:
        done = go_on(process)
    finally:
        subprocess.run(["chattr", "-i", str(staged)], check=True)
    assert done.returncode == 1, done.stderr
    assert "not permitted" in failure(done)
    assert lab.states() == {"web": "running"}
    assert not (lab.daily.parent / DIRECTORY).exists()


def test_a_container_that_came_up_by_itself_has_no_cold_copy(lab: Lab) -> None:
    lab.run("web")
    process = pause_at(lab, "cold-snapshot")
    subprocess.run(["docker", "start", lab.name("web")], check=True, capture_output=True)
    done = go_on(process)
    assert done.returncode == 1
    assert "came up by itself" in failure(done)
    assert "cold-copy" not in steps(done.stderr)
    assert not (lab.daily.parent / DIRECTORY).exists()


def test_a_leftover_is_no_source_and_goes_with_the_recovery(lab: Lab) -> None:
    """Its name is left out of every copy, also where a source holds the place."""
    config = lab.config()
    whole = [{"tree": "docker-volumes", "paths": [str(lab.directory / "ssd")]}]
    config["sources"] = whole
    lab.run("web")
    killed = lab.drive("--capture", "--at", "start", "1", "9")
    assert killed.returncode == -signal.SIGKILL
    left = lab.daily.parent / DIRECTORY / "0"
    assert left.is_dir()
    elsewhere = lab.volumes / DIRECTORY
    elsewhere.mkdir()
    (elsewhere / "x").write_text("x")
    recovered = lab.drive("--recover", config=config)
    assert recovered.returncode == 0
    assert f"deleting {left}" in recovered.stderr
    assert not left.exists()
    assert lab.states() == {"web": "running"}
    night(lab, config=config)
    assert not (lab.staged(lab.volumes) / DIRECTORY).exists()


def test_xfs_has_no_snapshots_and_copies_while_down(tmp_path: Path) -> None:
    image = needed_image()
    with mounted("xfs", tmp_path) as place, Lab(place / "lab", image) as lab:
        data = lab.volumes / "web"
        data.mkdir()
        (data / "large").write_bytes(bytes(8 * 1024**2))
        lab.run("web", command=WRITES_AT_THE_END)
        process = pause_at(lab, "start")
        assert (lab.staged(data) / "last").read_text() == "x\n"
        done = go_on(process)
        assert done.returncode == 0, done.stderr
        assert "xfs has no snapshots" in done.stderr
        assert "cloned 1 large files" in done.stderr
        assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []
