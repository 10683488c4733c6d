# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of their own for tests, in files on loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(kind: str, directory: Path, size_bytes: int = 512 * 1024**2) -> Iterator[Path]:
    """An empty file system of this *kind* below *directory*; skips the test where it can't be."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    disk, place = directory / "disk", directory / "mounted"
    with disk.open("wb") as stream:
        stream.truncate(size_bytes)
    subprocess.run([f"mkfs.{kind}", "-q", str(disk)], check=True, capture_output=True)
    place.mkdir()
    done = subprocess.run(
        ["mount", "-o", "loop", str(disk), str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"this kernel mounts no {kind}: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # A container or an rsync that was killed a moment ago may still hold it.
        subprocess.run(["umount", "--lazy", str(place)], check=True)
