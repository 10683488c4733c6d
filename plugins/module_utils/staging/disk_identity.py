# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks a host's data lies on: recorded at provisioning, compared before every night.

A disk that is missing leaves an empty directory on the root file system, and Docker fills it with
new, empty volumes: everything runs and looks healthy. So the file systems that hold the SSD and
the sources are remembered by what does not change with the order in which USB disks turn up, and
a sentinel in the staging area tells one SSD from its copy.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.paths import is_below
from ..filesystem.mounts import Mount, mount_holding

BY_UUID_DIRECTORY = "/dev/disk/by-uuid"

# Their statvfs(2) f_fsid is made of the UUID (fs/ext4/super.c, fs/btrfs/super.c); that of others
# is the device number, which goes by the order in which disks turn up.
_FSID_OF_UUID = ("ext2", "ext3", "ext4", "btrfs")

# The volumes that Docker's local driver mounts come and go with their containers.
_DOCKER_VOLUME = re.compile(r"/volumes/[^/]+/_data(/|$)")


@dataclass(frozen=True)
class Disk:
    """A mounted file system and what it is known by.

    *uuid* and *fsid* are "" where there is none (overlay, NFS, ZFS): then *source* and
    *file_system* are all there is to compare.
    """

    mount_point: str
    uuid: str
    fsid: str
    file_system: str
    source: str

    def __str__(self) -> str:
        known_by = f"UUID {self.uuid}" if self.uuid else self.fsid and f"fsid {self.fsid}"
        described = f"{self.file_system} on {self.source}"
        return f"{known_by} ({described})" if known_by else described

    @property
    def is_certain(self) -> bool:
        """Whether it is known by more than its place."""
        return bool(self.uuid or self.fsid)


@dataclass(frozen=True)
class DiskRecord:
    """What ``disks.json`` holds: *sources* are the disks of each source path, the one that holds
    the path first, then those mounted below it; *sentinel* is what the SSD's sentinel says."""

    sentinel: str
    ssd: Disk
    sources: Mapping[str, Tuple[Disk, ...]]

    def to_json(self) -> Dict[str, Any]:
        """The record as it is stored."""
        return {
            "sentinel": self.sentinel,
            "ssd": asdict(self.ssd),
            "sources": {
                path: [asdict(disk) for disk in disks] for path, disks in self.sources.items()
            },
        }


def record_from_json(value: Any, path: str) -> DiskRecord:
    """Read what :meth:`DiskRecord.to_json` made; raises :class:`BackupError` naming *path*."""
    try:
        return DiskRecord(
            sentinel=str(value["sentinel"]),
            ssd=Disk(**value["ssd"]),
            sources={
                name: tuple(Disk(**disk) for disk in disks)
                for name, disks in value["sources"].items()
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BackupError(
            f"{path} is not a record of disks: {error!r}",
            "Look that all disks are mounted, remove the file and run site.yml: it is made anew",
        ) from error


def disk_of(mount: Mount, by_uuid_directory: str = BY_UUID_DIRECTORY) -> Disk:
    """What the file system of *mount* is known by.

    Raises :class:`BackupError` when it does not answer.
    """
    fsid = ""
    if mount.file_system in _FSID_OF_UUID:
        try:
            fsid = f"{os.statvfs(mount.mount_point).f_fsid:016x}"
        except OSError as error:
            raise BackupError(
                f"the file system at {mount.mount_point} does not answer: {error.strerror}",
                "Check the disk, its cable and its power supply (dmesg)",
            ) from error
    uuid = _uuid_of(mount, by_uuid_directory)
    return Disk(mount.mount_point, uuid, fsid, mount.file_system, mount.source)


def is_same(recorded: Disk, found: Disk) -> bool:
    """Whether both are the same file system at the same place.

    The root file system is only compared by its place: it can't be unmounted, and a board whose
    system moved to another SD card still is the same board.
    """
    if recorded.mount_point != found.mount_point:
        return False
    if recorded.mount_point == "/":
        return True
    if recorded.uuid and found.uuid:
        return recorded.uuid == found.uuid
    if recorded.fsid and found.fsid:
        return recorded.fsid == found.fsid
    return (recorded.file_system, recorded.source) == (found.file_system, found.source)


class DiskLook:
    """What is mounted now, against what was recorded.

    *problems* are sentences; ``recorded`` is what a record of now would hold, where what did not
    change is as it was. Sources that have no record are in *unrecorded*: a night takes them as
    they are, since they are new, or were not there when site.yml ran (a board that is being
    restored). What is checked of every source, that it is there and not empty, has been checked of
    them too, and a warning on each new board's first night would only teach not to read warnings.
    """

    def __init__(
        self,
        record: Optional[DiskRecord],
        ssd: Disk,
        sources: Sequence[str],
        mounts: List[Mount],
        *,
        outside: str,
        by_uuid_directory: str = BY_UUID_DIRECTORY,
    ) -> None:
        """*outside*: what is mounted there or below (staging) belongs to no source."""
        self._mounts = mounts
        self._by_uuid = by_uuid_directory
        self._wrong: Dict[Tuple[Disk, Disk], List[str]] = {}
        self.unrecorded: List[str] = []
        self.ssd = ssd
        if record is not None:
            self.ssd = self._kept("the SSD", record.ssd, ssd)
        self.sources: Dict[str, Tuple[Disk, ...]] = {}
        for path in sources:
            before = record.sources.get(path, ()) if record is not None else ()
            if before:
                self.sources[path] = self._compared(path, before, outside)
            elif os.path.lexists(path):
                self.unrecorded.append(path)
                self.sources[path] = (self._holding(path), *self._below(path, outside))

    @property
    def problems(self) -> List[str]:
        """What is not as it was recorded, one sentence for each disk."""
        return [
            f"{', '.join(names)}: expected {expected} mounted at {expected.mount_point}, "
            f"found {found} mounted at {found.mount_point}"
            for (expected, found), names in self._wrong.items()
        ]

    def _compared(self, path: str, before: Tuple[Disk, ...], outside: str) -> Tuple[Disk, ...]:
        disks = [self._kept(path, before[0], self._holding(path))]
        for disk in before[1:]:
            disks.append(self._kept(path, disk, self._holding(disk.mount_point)))
        known = {disk.mount_point for disk in disks}
        # A disk that was mounted below a source since is new data, for the guards to judge.
        disks += [disk for disk in self._below(path, outside) if disk.mount_point not in known]
        return tuple(disks)

    def _kept(self, name: str, recorded: Disk, found: Disk) -> Disk:
        if is_same(recorded, found):
            return recorded
        self._wrong.setdefault((recorded, found), []).append(name)
        return found

    def _holding(self, path: str) -> Disk:
        mount = mount_holding(os.path.realpath(path), self._mounts)
        if mount is None:
            raise BackupError(f"no mounted file system holds {path}", "Look at findmnt")
        return disk_of(mount, self._by_uuid)

    def _below(self, path: str, outside: str) -> List[Disk]:
        top = os.path.realpath(path)
        points = sorted(
            {
                mount.mount_point
                for mount in self._mounts
                if mount.mount_point != top
                and is_below(mount.mount_point, top)
                and not is_below(mount.mount_point, outside)
                and not _DOCKER_VOLUME.search(mount.mount_point)
            }
        )
        disks = [self._holding(point) for point in points]
        return [disk for disk in disks if disk.is_certain]


def _uuid_of(mount: Mount, by_uuid_directory: str) -> str:
    number = _device_number(mount)
    try:
        names = sorted(os.listdir(by_uuid_directory)) if number else []
    except FileNotFoundError:
        # No udev: a container.
        return ""
    for name in names:
        try:
            if os.stat(os.path.join(by_uuid_directory, name)).st_rdev == number:
                return name
        except FileNotFoundError:
            # A link to a disk that was just pulled.
            continue
    return ""


def _device_number(mount: Mount) -> int:
    major, _colon, minor = mount.device_number.partition(":")
    if major != "0":
        return os.makedev(int(major), int(minor))
    # btrfs shows a number that belongs to no device; its source is one.
    try:
        found = os.stat(mount.source)
    except OSError:
        return 0
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else 0
