# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next run clears away what a killed one left, and nothing of one that lives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .leftovers import clear_leftovers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def ended() -> str:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """A mount in each of three runs' directories, and one that is no test's."""
    points = {
        name: tmp_path / f"pytest-of-root/{name}/ssd" for name in ("dead", "alive", "no-lock")
    }
    points["other"] = tmp_path / "other/run/ssd"
    for point in points.values():
        point.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", point], check=True)
    yield points
    for point in points.values():
        if point.is_mount():
            subprocess.run(["umount", point], check=True)


def test_only_what_dead_runs_left_goes(tmp_path: Path, mounts: dict[str, Path], ended: str) -> None:
    (mounts["dead"].parent / ".lock").write_text(ended)
    (mounts["alive"].parent / ".lock").write_text(str(os.getpid()))
    stand_ins = [
        tmp_path / f"b2-standin-{name}" for name in (f"{ended}-a", f"{os.getpid()}-b", "c")
    ]
    for directory in stand_ins:
        directory.mkdir()
    cleared = clear_leftovers(tmp_path)
    assert set(cleared) == {mounts["dead"], mounts["no-lock"], stand_ins[0]}
    assert not stand_ins[0].exists()
    assert [mounts[name].is_mount() for name in mounts] == [False, True, False, True]
    assert stand_ins[1].exists()
    assert stand_ins[2].exists()
