# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed test run leaves: mounts below pytest's directories, the stand-ins' data."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

STANDIN = re.compile(r"b2-standin-(\d+)-")


def clear_leftovers(temporary: Path) -> list[Path]:
    """Unmount and delete what dead runs left below *temporary*; return the paths.

    A run is alive while the process lives whose number is in its directory's ``.lock`` (pytest's),
    or in the name of the stand-in's directory.
    """
    cleared = []
    for point in _mount_points(temporary):
        run = temporary.joinpath(*point.relative_to(temporary).parts[:2])
        if run.parent.name.startswith("pytest-of-") and not _is_alive(_owner(run)):
            subprocess.run(["umount", "--lazy", point], check=True)
            cleared.append(point)
    for directory in temporary.glob("b2-standin-*"):
        made_by = STANDIN.match(directory.name)
        if made_by and not _is_alive(made_by[1]):
            shutil.rmtree(directory, ignore_errors=True)
            cleared.append(directory)
    return cleared


def _mount_points(temporary: Path) -> list[Path]:
    """The mounts below a directory, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in lines]
    return sorted((point for point in points if temporary in point.parents), reverse=True)


def _owner(run: Path) -> str:
    lock = run / ".lock"
    return lock.read_text(encoding="utf-8") if lock.exists() else ""


def _is_alive(process: str) -> bool:
    return process.isdigit() and Path("/proc", process).exists()
