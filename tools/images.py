# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers' images, made with debootstrap and kept under a hash of their recipe.

potato    a bare Debian 12 as it comes onto a board: systemd, Python, CA certificates,
          and nothing of what the roles install (no rsync, cron, logrotate or rclone).
services  PostgreSQL, a SQLite writer and a small web server for the Potato's siblings;
          always of the machine's own architecture, where emulation would prove nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from .docker import client, docker, image_exists
from .host import Say, architecture
from .paths import CHECKOUT, cache_dir
from .shell import ToolError, run

# Debian 12, or what the environment says: LPB_DEBIAN_SUITE=trixie make demo
SUITE = os.environ.get("LPB_DEBIAN_SUITE", "bookworm")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FILES = CHECKOUT / "tools" / "image_files"
REPOSITORIES = ("lpb-potato", "lpb-services")
# A whole tree and its packages fit several times; only what is used is taken.
SCRATCH_SIZE = "3g"
SCRATCH_PREFIX = "lpb-image-"
# systemd hands these units credentials through a mount that emulation can't make, and
# they fail at every boot without this. They need none.
NO_CREDENTIALS_UNITS = (
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
)
# Waits in a container for what is not there, or works on the host's own devices.
MASKED_UNITS = ("systemd-udevd.service", "systemd-networkd-wait-online.service", "getty.target")


@dataclass(frozen=True)
class Recipe:
    """What an image is made of; a change of any part gives the image another tag."""

    repository: str
    arch: str
    packages: tuple[str, ...]
    later_packages: tuple[str, ...] = ()  # with services of their own: after policy-rc.d
    files: tuple[str, ...] = ()
    version: int = 1

    @property
    def tag(self) -> str:
        """Return the image's name with the recipe's hash."""
        contents = [(FILES / name).read_text() for name in self.files]
        recipe = json.dumps([asdict(self), SUITE, MASKED_UNITS, contents], sort_keys=True)
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
        return f"{self.repository}:{self.arch}-{digest}"


def potato(arch: str) -> Recipe:
    """Return the recipe of the bare board for *arch* (arm64 or amd64)."""
    return Recipe(
        repository="lpb-potato",
        arch=arch,
        packages=("ca-certificates", "procps", "python3", "python3-apt", "systemd-sysv"),
    )


def services() -> Recipe:
    """Return the recipe of the sibling containers."""
    return Recipe(
        repository="lpb-services",
        arch=architecture(),
        packages=("ca-certificates", "python3"),
        later_packages=("mariadb-server", "postgresql"),
        files=("lpb-mariadb", "lpb-postgres", "lpb-sqlite-writer", "lpb-web"),
    )


def ensure_image(recipe: Recipe, say: Say) -> str:
    """Make the image unless Docker has it; return its tag. Needs root.

    Raises:
        ToolError: not root, no Debian mirror to be found, or a step of the making failed.
    """
    if image_exists(recipe.tag):
        return recipe.tag
    if os.geteuid() != 0:
        raise ToolError(f"making the image {recipe.tag} needs root (debootstrap)")
    say(f"making the image {recipe.tag} (about {2.5 if recipe.arch == 'arm64' else 1:g} min)")
    _clear_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-") as scratch:
        # In memory: dpkg's thousands of fsyncs cost more than the work on a disk.
        run(["mount", "-t", "tmpfs", "-o", f"size={SCRATCH_SIZE},mode=755", "tmpfs", scratch])
        try:
            root = Path(scratch) / "root"
            _bootstrap(recipe, root)
            _import(recipe.tag, root)
        finally:
            _unmount_all(scratch)
    return recipe.tag


def debian_mirror() -> str:
    """Return the Debian mirror that this machine's apt uses.

    Raises:
        ToolError: there is none (not a Debian); LPB_DEBIAN_MIRROR may name one.
    """
    if mirror := os.environ.get("LPB_DEBIAN_MIRROR"):
        return mirror
    listed = run(["apt-get", "indextargets", "--format", "$(LABEL)|$(COMPONENT)|$(REPO_URI)"])
    for line in listed.stdout.splitlines():
        label, component, uri = line.split("|")
        if label == "Debian" and component == "main" and uri.startswith(("http:", "https:")):
            return uri.rstrip("/")
    raise ToolError("apt's configuration names no Debian mirror: set LPB_DEBIAN_MIRROR to one")


def _bootstrap(recipe: Recipe, root: Path) -> None:
    packages = cache_dir() / "debs" / f"{recipe.repository}-{recipe.arch}"  # two may run at once
    packages.mkdir(parents=True, exist_ok=True)
    run(
        ["debootstrap", f"--arch={recipe.arch}", "--variant=minbase", f"--keyring={KEYRING}"]
        + [f"--cache-dir={packages}", f"--include={','.join(recipe.packages)}"]
        + [SUITE, str(root), debian_mirror()],
        timeout_seconds=1200,
    )
    # In a chroot nobody may start a service; nor does an image need manuals or a new cluster.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    if recipe.later_packages:
        _install_later(recipe, root)
    policy.unlink()
    for name in recipe.files:
        shutil.copy(FILES / name, root / "usr/local/bin" / name)
    _prepare_systemd(root)
    # Each container gets an identity of its own.
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("potato\n")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    for index in (root / "var/lib/apt/lists").glob("*_*"):
        index.unlink()
    _chroot(root, "apt-get", "update", "-q")


def _install_later(recipe: Recipe, root: Path) -> None:
    cluster = root / "etc/postgresql-common/createcluster.conf"
    cluster.parent.mkdir(parents=True)
    cluster.write_text("create_main_cluster = false\n")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    _chroot(root, *install, *recipe.later_packages)


def _prepare_systemd(root: Path) -> None:
    units = root / "etc/systemd/system"
    if not units.is_dir():
        return
    for unit in NO_CREDENTIALS_UNITS:
        drop_in = units / f"{unit}.d"
        drop_in.mkdir()
        (drop_in / "no-credentials.conf").write_text("[Service]\nLoadCredential=\n")
    for unit in MASKED_UNITS:
        (units / unit).symlink_to("/dev/null")


def _chroot(root: Path, *argv: str) -> None:
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    run(["chroot", str(root), *argv], env=environment, timeout_seconds=1200)


def _import(tag: str, root: Path) -> None:
    """Make the image of the tree; it gets its name only when all of it was read."""
    tar = subprocess.Popen(
        ["tar", "-C", str(root), "--one-file-system", "--xattrs", "-c", "."],
        stdout=subprocess.PIPE,
    )
    changes = ["--change", 'CMD ["/sbin/init"]', "--change", "ENV container=docker"]
    done = subprocess.run(
        [client(), "import", *changes, "-"],
        stdin=tar.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    if tar.stdout is not None:
        tar.stdout.close()  # or tar would wait for a reader that has gone
    image = done.stdout.strip()
    if tar.wait() != 0 or done.returncode != 0:
        if image:
            docker("image", "rm", image, check=False)
        raise ToolError(f"docker import {tag} failed: {done.stderr.strip()}")
    docker("image", "tag", image, tag)


def _clear_leftovers() -> None:
    """Take down what killed processes left behind: it lies in memory."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*-*"):
        process = folder.name.removeprefix(SCRATCH_PREFIX).partition("-")[0]
        if process.isdigit() and not Path("/proc", process).exists():
            _unmount_all(str(folder))
            shutil.rmtree(folder)


def _unmount_all(scratch: str) -> None:
    """Take down whatever is mounted in *scratch* (debootstrap's /proc and the tmpfs)."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in mounts]
    for point in sorted((p for p in points if f"{p}/".startswith(f"{scratch}/")), reverse=True):
        run(["umount", "-l", point])


def remove_images(say: Say) -> None:
    """Remove every image that these recipes made, of any version, unless one is in use."""
    form = "{{.Repository}}:{{.Tag}}"
    for repository in REPOSITORIES:
        for tag in docker("image", "ls", "--format", form, repository).stdout.split():
            removed = docker("image", "rm", tag, check=False)
            if removed.returncode == 0:
                say(f"removed the image {tag}")
            else:
                say(f"the image {tag} stays: {removed.stderr.strip()}")
