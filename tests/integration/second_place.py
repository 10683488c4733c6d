# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second destination for nights in tests: a disk that is plugged in and out, or a server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure

from .night_host import PREFIX, NightHost, differences, rclone_binary
from .waits import wait_for

PASSWORD = "of the server"
# rclone's server takes no shorter ones.
ACCESS_KEY, SECRET_KEY = "ACCESSKEY1234567", "SECRETKEY1234567"
SERVER_OPTIONS = {
    "sftp": ["--user", "potato", "--pass", PASSWORD],
    "s3": ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"],
}
USB_BYTES = 64 * 1024**2


class UsbDisk:
    """An ext4 file system in a file, plugged in at a mount point."""

    def __init__(self, directory: Path, size_bytes: int = USB_BYTES) -> None:
        self.image, self.mount_point = directory / "usb.img", directory / "usb"
        self.mount_point.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate(size_bytes)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    @property
    def path(self) -> Path:
        """Where the backup lies on it."""
        return self.mount_point / "backup"

    def plug_in(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.mount_point], check=True)

    def pull_out(self) -> None:
        subprocess.run(["umount", self.mount_point], check=True)

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        """Plugged in; whatever a test did with it, it is not mounted afterwards."""
        self.plug_in()
        try:
            yield
        finally:
            subprocess.run(
                ["umount", "--lazy", self.mount_point], check=False, stderr=subprocess.DEVNULL
            )


def use_disk(host: NightHost, path: Path, **changes: Any) -> None:
    """Configure *host* with a disk, as the roles do, and with *changes* of its configuration."""
    _write_crypt(host, f"{path}/{PREFIX}", "")
    host.write_config(second={"enabled": True, "path": str(path)}, **changes)


def use_remote(host: NightHost, section: str) -> None:
    """Configure *host* with another remote, as the roles do."""
    _write_crypt(host, f"second-backup:backup/{PREFIX}", f"[second-backup]\n{section}\n")
    host.write_config(second={"enabled": True})


@contextmanager
def served(kind: str, directory: Path) -> Iterator[int]:
    """``rclone serve`` *kind* over *directory*; gives the port. SFTP asks a password, S3 a key."""
    directory.mkdir(exist_ok=True)
    log = directory.with_name(f"{directory.name}.log")

    def told_port() -> str:
        told = re.search(r"127\.0\.0\.1:(\d+)[/\n]", log.read_text(encoding="utf-8"))
        return told[1] if told else ""

    command = [rclone_binary(), "serve", kind, *SERVER_OPTIONS.get(kind, []), str(directory)]
    with log.open("wb") as stream:
        # It takes a free port itself, and says which.
        server = subprocess.Popen(
            [*command, "--addr", "127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=stream
        )
    try:
        wait_for(lambda: told_port() != "", "the server says where it listens", server)
        yield int(told_port())
    finally:
        server.kill()
        server.wait()


def change(host: NightHost, number: int) -> None:
    """A night's changes; one of them does not show in the size."""
    base = host.volumes / "db/_data/base"
    (base / "004").write_bytes(bytes([number]) * 204)
    (base / f"{10 + number:03d}").unlink()
    (base / f"new-{number}").write_bytes(b"n" * number)
    (host.volumes / "db/_data/odd\nname \\").write_bytes(b"odd %d" % number)
    swapped = host.volumes / "db/_data/swapped"
    if swapped.is_dir():
        shutil.rmtree(swapped)
        swapped.write_bytes(b"a file where a directory was")
    else:
        swapped.unlink(missing_ok=True)
        swapped.mkdir()
        (swapped / "inside").write_bytes(b"a directory where a file was")


class Kept:
    """What the host's data was at each point, and whether the points are still that."""

    def __init__(self, host: NightHost) -> None:
        self.host = host
        self.points: dict[str, Path] = {}

    def keep(self, point: str) -> None:
        """Remember the data as it is now as that of *point*."""
        kept = self.host.directory / "kept" / point
        kept.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", self.host.volumes, kept], check=True)
        self.points[point] = kept

    def assert_restores(self, *points: str, named: tuple[str, ...] = ()) -> None:
        """Each of *points* (all of them without) restores exactly from the second destination;
        *named*: what a person calls it."""
        for point in points or tuple(self.points):
            target = self.host.directory / "restored"
            done = self.host.program(
                *("restore", "--from", "second", *(named or (point,))),
                *("--yes", "--target", str(target)),
            )
            assert done.returncode == 0, done.stderr
            restored = target / f"docker-volumes{self.host.volumes}"
            told = differences(self.points[point], restored)
            assert told == "", f"{point}: {told}"
            shutil.rmtree(target)


def _write_crypt(host: NightHost, below: str, section: str) -> None:
    host.write_conf(host.key)
    with host.conf_path.open("a", encoding="utf-8") as stream:
        stream.write(
            f"\n{section}\n[second-encrypted]\ntype = crypt\nremote = {below}\n"
            "filename_encryption = standard\ndirectory_name_encryption = true\n"
            f"filename_encoding = base64\npassword = {rclone_obscure('one')}\n"
            f"password2 = {rclone_obscure('two')}\n"
        )
