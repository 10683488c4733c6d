# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine must have: Debian packages, a Docker daemon, ARM64 emulation.

Each part is looked at first and touched only when something is missing, so that a
second run costs about a second. Nothing here is ever removed again by the tools.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .docker import daemon_problem
from .paths import cache_dir
from .shell import ToolError, run

Say = Callable[[str], None]

# package -> a path that proves it is there (a program or a file of the package)
BASE_PACKAGES = {
    "acl": "/usr/bin/setfacl",
    "attr": "/usr/bin/setfattr",
    "btrfs-progs": "/usr/sbin/mkfs.btrfs",
    "busybox-static": "/bin/busybox",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "git": "/usr/bin/git",
    "libcap2-bin": "/usr/sbin/setcap",
    "logrotate": "/usr/sbin/logrotate",
    "python3-venv": "",
    "rsync": "/usr/bin/rsync",
    "shellcheck": "/usr/bin/shellcheck",
    "sqlite3": "/usr/bin/sqlite3",
    "xfsprogs": "/usr/sbin/mkfs.xfs",
}
DOCKER_PACKAGES = {
    "debootstrap": "/usr/sbin/debootstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "e2fsprogs": "/usr/sbin/mkfs.ext4",
    "mount": "/usr/bin/mount",
}
EMULATION_PACKAGES = {
    "binfmt-support": "/usr/sbin/update-binfmts",
    "qemu-user-static": "/usr/bin/qemu-aarch64-static",
}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
DAEMON_WAIT_SECONDS = 240


def architecture() -> str:
    """Return the machine's architecture in Debian's and Docker's word, e.g. amd64."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    if machine not in names:
        raise ToolError(f"{machine} is not supported here: the tools know {', '.join(names)}")
    return names[machine]


def ensure_packages(packages: dict[str, str], say: Say) -> None:
    """Install what is missing of *packages* with apt.

    Raises:
        ToolError: something is missing and this is not root or not a Debian, or apt failed.
    """
    missing = [name for name, proof in packages.items() if not _is_there(name, proof)]
    if not missing:
        return
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise ToolError(f"{names} missing, and there is no apt-get: install them by hand")
    if os.geteuid() != 0:
        raise ToolError(f"{names} missing: run this as root, or first: apt-get install {names}")
    say(f"installing Debian packages: {names}")
    noninteractive = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], env=noninteractive)
    run(
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
        env=noninteractive,
        timeout_seconds=1200,
    )


def ensure_docker(say: Say) -> None:
    """Have a Docker daemon that answers: install and start it where there is none.

    Raises:
        ToolError: it can't be had; the text says why.
    """
    ensure_packages(DOCKER_PACKAGES, say)
    if not (problem := daemon_problem()):
        return
    if address := os.environ.get("DOCKER_HOST"):  # somebody's choice: not ours to start one
        raise ToolError(f"no Docker daemon answers at DOCKER_HOST={address}: {problem}")
    if shutil.which("dockerd") is None:
        wanted = {"docker.io": "", "iptables": "/usr/sbin/iptables"}
        if _has_candidate("docker-cli"):  # a package of its own from Debian 13 on
            wanted["docker-cli"] = "/usr/bin/docker"
        ensure_packages(wanted, say)
    if not daemon_problem():
        return
    if os.geteuid() != 0:
        raise ToolError("no Docker daemon answers: start it, or run this as root")
    if Path("/run/systemd/system").is_dir():
        say("starting Docker with systemctl")
        run(["systemctl", "start", "docker"])
    else:
        log = cache_dir() / "dockerd.log"
        say(f"starting dockerd in the background, log in {log}")
        _start_daemon(log)
    _wait_for_daemon()


def ensure_emulation(say: Say) -> None:
    """Make the kernel run ARM64 programs, through qemu unless the machine is an ARM64 one.

    Raises:
        ToolError: binfmt_misc can't be mounted or the format can't be enabled.
    """
    if architecture() == "arm64":
        return
    ensure_packages(EMULATION_PACKAGES, say)
    if not (BINFMT / "register").exists():
        if os.geteuid() != 0:
            raise ToolError(f"binfmt_misc is not mounted at {BINFMT}: run this as root")
        say("mounting binfmt_misc")
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)])
    entry = BINFMT / "qemu-aarch64"
    if not entry.exists():
        say("enabling ARM64 emulation (qemu-aarch64)")
        run(["update-binfmts", "--enable", "qemu-aarch64"])
    if not entry.exists() or not entry.read_text().startswith("enabled"):
        raise ToolError(f"{entry} is not enabled: ARM64 programs can't run here")


def _is_there(name: str, proof: str) -> bool:
    if proof:
        return Path(proof).exists()
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", name]
    return shutil.which("dpkg-query") is not None and run(query, check=False).stdout == "installed"


def _has_candidate(name: str) -> bool:
    policy = run(["apt-cache", "policy", name], check=False).stdout
    return "Candidate:" in policy and "Candidate: (none)" not in policy


def _start_daemon(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            close_fds=True,
        )


def _wait_for_daemon() -> None:
    deadline = time.monotonic() + DAEMON_WAIT_SECONDS
    while problem := daemon_problem():
        if time.monotonic() > deadline:
            raise ToolError(f"Docker did not come up in {DAEMON_WAIT_SECONDS} s: {problem}")
        time.sleep(0.5)
