# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's disks: Debian 12 with its own kernel and Docker, and an empty SSD.

The root file system is made once and kept under a hash of what it is made of; each run
works on a copy.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..host import Say
from ..images import KEYRING, SUITE, debian_mirror
from ..paths import cache_dir
from ..shell import run

FILES = Path(__file__).parent / "files"
PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "udev", "dbus", "kmod"),
    *("openssh-server", "iproute2", "procps", "ca-certificates", "python3", "python3-apt"),
    *("docker.io", "apparmor", "iptables", "busybox-static", "rsync", "cron", "logrotate"),
)
ENABLED_UNITS = ("systemd-networkd.service", "machine-watch.service")
ROOT_SIZE = "6G"
SSD_SIZE = "4G"
SSD_UUID = "5b1a1e2c-6a55-4d0c-9a43-7f1f0c1ab5d5"
SSD_MOUNT = "/mnt/ssd"


def root_folder() -> Path:
    """Return where the root file system for this recipe is kept, with its kernel and initrd."""
    parts = [*PACKAGES, *ENABLED_UNITS, SUITE, ROOT_SIZE, SSD_UUID]
    parts += [f"{file.relative_to(FILES)}\n{file.read_text()}" for file in _files()]
    return cache_dir() / "machine" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def ensure_root(say: Say) -> Path:
    """Make the root file system unless it is there; return its folder. Needs root.

    Raises:
        ToolError: a step of the making failed.
    """
    folder = root_folder()
    if folder.exists():
        return folder
    say("making the machine's root file system (about 2.5 min)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        image = made / "root.img"
        _make_file_system(image, ROOT_SIZE)
        with _mounted(image, Path(scratch)) as root:
            run(
                ["mmdebstrap", "--variant=minbase", f"--keyring={KEYRING}"]
                + [f"--include={','.join(PACKAGES)}", SUITE, str(root), debian_mirror()],
                timeout_seconds=1800,
            )
            for file in _files():
                target = root / file.relative_to(FILES)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
            run(["systemctl", f"--root={root}", "enable", *ENABLED_UNITS])
            for name in ("vmlinuz", "initrd.img"):
                shutil.copy((root / name).resolve(), made / name)
        made.rename(folder)
    return folder


def make_disks(folder: Path, root: Path, public_key: str) -> None:
    """Put a copy of the root file system, which lets *public_key* in, and an SSD into *folder*.

    Raises:
        ToolError: there is no room, or mounting failed.
    """
    image = folder / "root.img"
    run(["cp", "--sparse=always", "--reflink=auto", str(root / "root.img"), str(image)])
    with _mounted(image, folder) as place:
        keys = place / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(public_key)
    _make_file_system(folder / "ssd.img", SSD_SIZE, "-U", SSD_UUID)


def _files() -> list[Path]:
    return sorted(file for file in FILES.rglob("*") if file.is_file())


def _make_file_system(image: Path, size: str, *options: str) -> None:
    run(["truncate", "-s", size, str(image)])
    run(["mkfs.ext4", "-q", "-F", *options, str(image)])


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[Path]:
    place = folder / "mounted"
    place.mkdir()
    run(["mount", "-o", "loop", str(image), str(place)])
    try:
        yield place
    finally:
        run(["umount", str(place)])
        place.rmdir()
