# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the disk of the second destination is really there: an unplugged one leaves an empty
directory on the SD card, and a pulled one still shows as mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from typing import Iterator

from ..base.errors import BackupError
from ..filesystem.mounts import MOUNTINFO_PATH, Mount, mount_holding, probe_io, read_mounts
from ..staging.area import VOLATILE_FILE_SYSTEMS

_CASE_PREFIX = ".lepotato-backup-case-"


class DiskMissing(BackupError):
    """No disk is mounted where the second destination should be."""


def require_disk(path: str, ssd: str, mountinfo: str = MOUNTINFO_PATH) -> Mount:
    """The mount that *path* lies on, which is neither the root file system nor that of *ssd*.

    Raises :class:`DiskMissing` when no disk is mounted above *path*, :class:`BackupError` for one
    that can't be the second destination. Changes nothing.
    """
    variable = f"lepotato_backup_second_path ({path})"
    mounts = read_mounts(mountinfo)
    mount = mount_holding(path, mounts)
    root = mount_holding("/", mounts)
    if mount is None or root is None or mount.device_number == root.device_number:
        raise DiskMissing(
            f"{variable}: no disk is mounted there",
            "Plug it in and mount it (in /etc/fstab, by UUID, with nofail)",
        )
    first = mount_holding(ssd, mounts)
    if first is not None and first.device_number == mount.device_number:
        raise BackupError(
            f"{variable} lies on the SSD that is backed up",
            "Mount another disk there: this one would be lost with the data",
        )
    if mount.file_system in VOLATILE_FILE_SYSTEMS:
        raise BackupError(
            f"{variable} lies on a {mount.file_system}: it keeps its files in memory only",
            "Mount a disk there",
        )
    if mount.read_only:
        raise BackupError(
            f"{variable} is mounted read-only",
            "The kernel does that after an I/O error: look at dmesg and check the file system",
        )
    return mount


@contextlib.contextmanager
def held_disk(path: str, ssd: str) -> Iterator[None]:
    """Keep the disk below *path* mounted while it is written to, once it has proven to answer.

    The open directory keeps an unmount from turning *path* into a directory of the SD card under
    a running copy. Raises what :func:`require_disk` does, and :class:`BackupError` when nothing
    can be written.
    """
    mount = require_disk(path, ssd)
    try:
        descriptor = os.open(mount.mount_point, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _broken(path, error) from error
    try:
        # It may have gone between the look at the mount table and the open.
        require_disk(path, ssd)
        try:
            _prepare(path)
        except OSError as error:
            raise _broken(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _broken(path: str, error: OSError) -> BackupError:
    return BackupError(
        f"the disk at lepotato_backup_second_path ({path}) does not work: {error.strerror}",
        "Check the disk, its cable and its power supply (dmesg)",
    )


def _prepare(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        probe_io(path)
    except BackupError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno != errno.ENOSPC:
            raise _broken(path, cause) from error
        raise BackupError(
            f"the disk at lepotato_backup_second_path ({path}) is full",
            "Make room on it or use a larger one; what is there stays whole",
        ) from error
    with tempfile.TemporaryDirectory(prefix=_CASE_PREFIX, dir=path) as probe:
        if os.path.exists(os.path.join(path, os.path.basename(probe).upper())):
            raise BackupError(
                f"the file system at lepotato_backup_second_path ({path}) does not tell upper from "
                "lower case, which encrypted names need",
                "Format the disk with ext4 (vfat, exfat and ntfs can't be used)",
            )
