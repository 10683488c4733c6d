# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board: a container with systemd as PID 1, 2 GB of memory and the SSD."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Mapping

from ..docker import client, docker
from ..shell import ToolError
from .names import LabNames

MEMORY = "2g"  # as the board has
BOOT_SECONDS = 300

# What a night and its tests ask of the board's system.
NEEDED_UNITS = ("lepotato-backup", "cron.", "dbus.", "systemd-journald")
SOCKET = "/var/run/docker.sock"


def boot(names: LabNames, image: str) -> None:
    """Start the board and wait until systemd says that it runs.

    Raises:
        ToolError: it did not come up, or a unit failed.
    """
    docker(
        *("run", "--detach", "--name", names.potato, "--hostname", "potato"),
        *("--memory", MEMORY, "--memory-swap", MEMORY, "--stop-signal", "SIGRTMIN+3"),
        # The host's network: package mirrors as the host reaches them, and the stand-in
        # on its loopback.
        *("--network", "host", "--cgroupns", "host"),
        # What systemd needs; --privileged would ask for more than some hosts can give.
        *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
        *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
        *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
        *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup"),
        *("--volume", f"{SOCKET}:{SOCKET}"),
        *("--volume", f"{names.ssd}:{names.ssd}"),
        image,
    )
    deadline = time.monotonic() + BOOT_SECONDS
    while (state := in_potato(names, "systemctl", "is-system-running", check=False)) != "running":
        if state == "degraded":
            # Of the whole system only what the board needs counts: on a busy machine a unit of
            # the distribution may run into a limit of its own.
            failed = in_potato(names, "systemctl", "--failed", "--plain", "--no-legend")
            if any(line.startswith(NEEDED_UNITS) for line in failed.splitlines()):
                raise ToolError(f"units failed in {names.potato}: {failed}")
            break
        if time.monotonic() > deadline:
            raise ToolError(f"{names.potato} did not boot in {BOOT_SECONDS} s: {state}")
        time.sleep(0.5)


def in_potato(names: LabNames, *argv: str, check: bool = True, timeout_seconds: float = 600) -> str:
    """Run *argv* in the board and return what it printed, stripped.

    Raises:
        ToolError: it failed and *check* is set.
    """
    done = docker("exec", names.potato, *argv, check=check, timeout_seconds=timeout_seconds)
    return done.stdout.strip()


def write_files(names: LabNames, files: Mapping[str, str]) -> None:
    """Write text files (absolute path -> content, 0644 root) into the board.

    Raises:
        ToolError: docker cp failed.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size = len(content.encode())
            member.mode = 0o644
            member.mtime = int(time.time())
            tar.addfile(member, io.BytesIO(content.encode()))
    done = subprocess.run(
        [client(), "cp", "-", f"{names.potato}:/"],
        input=archive.getvalue(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(f"docker cp into {names.potato}: {done.stderr.decode().strip()}")
