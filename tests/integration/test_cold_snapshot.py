# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real btrfs file systems: what is in them, and when there can be none."""

from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.file_systems import mounted

from ansible_collections.lepotato.backup.plugins.module_utils.capture.cold_snapshot import (
    ColdSnapshots,
    NoSnapshot,
    find_frozen,
    prepare_snapshots,
)
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem import btrfs
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import read_mounts
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner


def subvolume(path: Path) -> Path:
    subprocess.run(["btrfs", "-q", "subvolume", "create", str(path)], check=True)
    return path


@pytest.fixture(name="top")
def make_top(tmp_path: Path) -> Iterator[Path]:
    with mounted("btrfs", tmp_path) as place:
        (place / "staging").mkdir()
        yield place


def why_not(path: Path, staging: Path) -> str:
    with pytest.raises(NoSnapshot) as caught:
        find_frozen(str(path), str(staging), read_mounts())
    return str(caught.value)


def test_what_is_only_in_memory_yet_is_in_the_snapshot(top: Path) -> None:
    mapped = top / "mapped"
    mapped.write_bytes(bytes(mmap.PAGESIZE))
    os.sync()
    with mapped.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as memory:
        memory[:5] = b"early"
        os.sync()
        memory[:5] = b"late!"
        (top / "written").write_text("just now")
        btrfs.take_snapshot(str(top), str(top / "staging"), "0")
    assert (top / "staging/0/mapped").read_bytes()[:5] == b"late!"
    assert (top / "staging/0/written").read_text() == "just now"
    with pytest.raises(OSError, match="Read-only"):
        (top / "staging/0/written").write_text("no")
    btrfs.delete_subvolume(str(top / "staging"), "0")
    assert os.listdir(top / "staging") == []


def test_subvolumes_are_found_however_many_there_are(top: Path) -> None:
    (top / "a/b").mkdir(parents=True)
    made = [subvolume(top / "a/b" / f"{number:03d}") for number in range(260)]
    made.append(subvolume(top / "top"))
    subvolume(top / "top/not right inside")
    assert sorted(btrfs.nested_subvolumes(str(top))) == sorted(map(str, made))
    assert btrfs.nested_subvolumes(str(top / "top")) == [str(top / "top/not right inside")]


def test_each_subvolume_below_a_path_is_read_from_its_own_snapshot(top: Path) -> None:
    (top / "volumes").mkdir()
    deep = subvolume(subvolume(top / "volumes/db") / "deep")
    subvolume(top / "elsewhere")
    (deep / "rows").write_text("1")
    (top / "link").symlink_to("volumes")
    snapshots = ColdSnapshots(str(top / "staging"))
    snapshots.take([str(top / "link"), str(top / "gone")])
    assert snapshots.paths == (str(top / "link"),)
    (deep / "rows").write_text("2")
    assert Path(snapshots.where(str(top / "link/db/deep/rows"))).read_text() == "1"
    assert len(os.listdir(top / "staging/.lepotato-cold-snapshots")) == 3
    seen = SubprocessRunner().run(
        [*snapshots.command_prefix(), "cat", str(top / "volumes/db/deep/rows")]
    )
    assert seen.stdout == "1"
    assert (deep / "rows").read_text() == "2"
    assert snapshots.drop() == []
    assert os.listdir(top / "staging") == []


def test_why_a_path_has_no_snapshot(top: Path, tmp_path: Path) -> None:
    staging = top / "staging"
    assert "has no snapshots" in why_not(tmp_path, staging)
    assert why_not(top / "gone", staging) == "it does not exist"
    assert why_not(top, staging) == "staging lies below it"
    below, bound = top / "volumes/below", tmp_path / "bound"
    below.mkdir(parents=True)
    bound.mkdir()
    subprocess.run(["mount", "--bind", str(top / "volumes"), str(bound)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(below)], check=True)
    try:
        assert why_not(top / "volumes", staging) == f"{below} below it is a mount of its own"
        assert "without the top of its subvolume" in why_not(bound, staging)
        can, reasons = prepare_snapshots([str(top / "volumes")], str(staging), SubprocessRunner())
        assert not can
        assert reasons == (f"{top}/volumes: {below} below it is a mount of its own",)
    finally:
        subprocess.run(["umount", str(below), str(bound)], check=True)


def test_on_another_file_system_than_staging_snapshots_are_at_its_top(
    top: Path, tmp_path: Path
) -> None:
    (top / "data").mkdir()
    assert find_frozen(str(top / "data"), str(tmp_path), read_mounts()) == (
        *(str(top / "data"), str(top / "data"), str(top)),
        str(top / ".lepotato-cold-snapshots"),
    )
