# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the SSD can hold the staging area, found out before anything is written to it."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from typing import Callable, List, NamedTuple

from ..base.errors import BackupError
from ..filesystem.mounts import Mount, mount_holding, probe_io

# What keeps its files in memory loses the staged copy at the next reboot.
VOLATILE_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")

# A minimal POSIX ACL as the kernel stores it: version 2, then tag, permission and ID of
# owner, the user 0, group, mask and others (linux/posix_acl_xattr.h).
_ACL_NO_ID = 0xFFFFFFFF
_ACL_ENTRIES = (
    (1, 6, _ACL_NO_ID),
    (2, 4, 0),
    (4, 4, _ACL_NO_ID),
    (16, 6, _ACL_NO_ID),
    (32, 0, _ACL_NO_ID),
)
_ACL_BYTES = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in _ACL_ENTRIES)


class Space(NamedTuple):
    """Bytes of a file system: all of them, and what this user may still write."""

    total_bytes: int
    free_bytes: int


def require_ssd(mount_point: str, mounts: List[Mount]) -> Mount:
    """The mount at *mount_point* if it is a writable file system of its own.

    Raises :class:`BackupError` naming ``lepotato_backup_ssd_mount`` otherwise.
    """
    variable = f"lepotato_backup_ssd_mount ({mount_point})"
    mend = "Mount the SSD there (in /etc/fstab, by UUID), or set the variable to its mount point"
    if mount_point != "/" and not os.path.isdir(mount_point):
        raise BackupError(f"{variable} does not exist on this host", mend)
    mount = mount_holding(mount_point, mounts)
    if mount is None or mount.mount_point != mount_point or mount_point == "/":
        raise BackupError(
            f"{variable} is a directory on {mount.source if mount else 'the root file system'}, "
            "not a mounted file system: the staged copy would fill the SD card",
            mend,
        )
    root = mount_holding("/", mounts)
    if root is not None and root.device_number == mount.device_number:
        raise BackupError(
            f"{variable} is the root file system ({mount.source}) seen a second time", mend
        )
    if mount.file_system in VOLATILE_FILE_SYSTEMS:
        raise BackupError(
            f"{variable} is a {mount.file_system}: it keeps its files in memory only", mend
        )
    if mount.read_only:
        raise BackupError(
            f"{variable} is mounted read-only",
            "The kernel does that after an I/O error: look at dmesg and check the file system",
        )
    return mount


def require_reserve(mount_point: str, space: Space, reserve_bytes: int) -> None:
    """Raise :class:`BackupError` when *reserve_bytes* are not free, or can never be."""
    variable = f"staging_reserve_bytes ({reserve_bytes})"
    if reserve_bytes >= space.total_bytes:
        raise BackupError(
            f"{variable} is larger than the SSD: the file system at {mount_point} has "
            f"{space.total_bytes} bytes in all",
            "Lower the variable, or use a larger SSD",
        )
    if reserve_bytes > space.free_bytes:
        raise BackupError(
            f"{variable} is more than what is free at {mount_point}: {space.free_bytes} bytes",
            "Free some space on the SSD, or lower the variable",
        )


def file_system_space(path: str) -> Space:
    """The space of the file system that holds *path*."""
    status = os.statvfs(path)
    return Space(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)


def require_capabilities(directory: str) -> None:
    """Try in *directory* what a staged copy needs; what was tried is removed again.

    Raises :class:`BackupError` naming what the file system can't do.
    """
    probe_io(directory)
    area = tempfile.mkdtemp(dir=directory, prefix=".lepotato-backup-probe-")
    try:
        _try_each(area, directory)
    finally:
        shutil.rmtree(area)


def _try_each(area: str, directory: str) -> None:
    path = os.path.join(area, "file")
    with open(path, "wb"):
        pass
    tries: List[tuple[str, Callable[[], None]]] = [
        ("owners", lambda: _try_owner(path)),
        ("hard links", lambda: os.link(path, os.path.join(area, "hard-link"))),
        ("symbolic links", lambda: os.symlink("file", os.path.join(area, "symbolic-link"))),
        ("ACLs", lambda: os.setxattr(path, "system.posix_acl_access", _ACL_BYTES)),
        ("extended attributes", lambda: os.setxattr(path, "user.lepotato-backup", b"1")),
    ]
    for what, attempt in tries:
        try:
            attempt()
        except OSError as error:
            raise BackupError(
                f"the file system at lepotato_backup_ssd_mount ({directory}) can't keep {what}: "
                f"{error.strerror}",
                "Format the SSD with ext4 (vfat, exfat and ntfs can't hold a faithful copy)",
            ) from error


def _try_owner(path: str) -> None:
    # vfat and its like accept a change of mode and forget it.
    os.chmod(path, 0o640)
    if os.stat(path).st_mode & 0o777 != 0o640:
        raise OSError(0, "the mode did not change")
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
