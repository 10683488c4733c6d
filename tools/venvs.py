# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python environments with pinned packages, kept in the cache by a hash of their pins."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from .host import Say
from .paths import CHECKOUT, cache_dir
from .shell import ToolError, run

OLDEST_PYTHON = (3, 11)  # the oldest that ansible-core 2.19 runs on
DEVELOPMENT = "requirements-dev.txt"
IMPORTER = "requirements-importer.txt"
OLDEST_ANSIBLE = "requirements-oldest.txt"
DOCUMENTATION = "requirements-docs.txt"


def venv_dir(requirements: str) -> Path:
    """Return the folder of the environment for *requirements*, a file of the checkout."""
    pins = (CHECKOUT / requirements).read_bytes()
    version = ".".join(map(str, sys.version_info[:3]))
    # The folder itself is part of what pip writes into the scripts' first lines.
    key = hashlib.sha256(pins + f"{version}{sys.base_prefix}{cache_dir()}".encode()).hexdigest()
    return cache_dir() / "venvs" / f"{Path(requirements).stem.rpartition('-')[2]}-{key[:12]}"


def venv_program(name: str, requirements: str = DEVELOPMENT) -> str:
    """Return the full path of a program of the environment."""
    return str(venv_dir(requirements) / "bin" / name)


def ensure_venv(requirements: str, say: Say) -> Path:
    """Make the environment for *requirements* unless it is complete; return its folder.

    Raises:
        ToolError: this Python is too old, or pip failed.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise ToolError(
            f"Python {sys.version_info.major}.{sys.version_info.minor} is too old for Ansible: "
            f"{'.'.join(map(str, OLDEST_PYTHON))} or newer is needed (make PYTHON=...)"
        )
    folder = venv_dir(requirements)
    done = folder / ".complete"
    if not done.exists():
        say(f"installing the Python packages of {requirements} in {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
        run(
            [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input"]
            + ["--disable-pip-version-check", "-r", str(CHECKOUT / requirements)],
            timeout_seconds=1800,
        )
        done.touch()
    return folder


def link_development_venv() -> None:
    """Point .venv of the checkout at the shared environment; a folder there is left alone."""
    link, target = CHECKOUT / ".venv", venv_dir(DEVELOPMENT)
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    if link.exists() and not link.is_symlink():
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
