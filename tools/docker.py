# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker client that the tools use."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .shell import ToolError, run

# Debian's own client first: it fits the daemon of the same package, and a newer one
# earlier on PATH can refuse images that were made by "docker import".
DEBIAN_CLIENT = "/usr/bin/docker"


def client() -> str:
    """Return the Docker client to use, by full path where Debian's is installed."""
    return DEBIAN_CLIENT if Path(DEBIAN_CLIENT).exists() else "docker"


def docker(
    *args: str, check: bool = True, stdin: str = "", timeout_seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run one docker command and keep its output.

    Raises:
        ToolError: it failed and *check* is set.
    """
    return run([client(), *args], check=check, stdin=stdin, timeout_seconds=timeout_seconds)


def daemon_problem() -> str:
    """Return why no Docker daemon answers, or "" when one does."""
    if not Path(DEBIAN_CLIENT).exists() and shutil.which("docker") is None:
        return "the docker client is not installed"
    answer = docker("version", "--format", "{{.Server.Version}}", check=False, timeout_seconds=30)
    if answer.returncode == 0:
        return ""
    return f"docker version: {(answer.stderr or answer.stdout).strip().splitlines()[-1]}"


def image_exists(tag: str) -> bool:
    """Tell whether the daemon has the image *tag*.

    Raises:
        ToolError: it said neither yes nor no.
    """
    answer = docker("image", "inspect", tag, check=False)
    if answer.returncode != 0 and "no such image" not in answer.stderr.lower():
        raise ToolError(f"docker image inspect {tag}: {answer.stderr.strip()}")
    return answer.returncode == 0


def container_exists(name: str) -> bool:
    """Tell whether a container of that name is there, running or not; no without a daemon."""
    if daemon_problem():
        return False
    return docker("container", "inspect", name, check=False).returncode == 0
