# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cold pass from a snapshot: services are down for the snapshot, and run while rsync walks.

Only btrfs has snapshots that cost next to nothing. XFS can share blocks, but to clone every file
while services are down takes longer than to clone what changed and let rsync walk (20,000 files
of 2 kB and three of 100 MB, 50 small ones and a large one changed: 0.83 s against 0.31 s, and
0.96 s against 0.73 s with nothing in the kernel's caches), so there :mod:`.settle_writes` stays.

rsync sees a snapshot where its subvolume is: in a mount namespace of its own, the snapshot is
mounted over each path. So paths, excludes and links mean the same as in every other pass. A
subvolume is an empty directory in the snapshot of the one around it: each has a snapshot of
its own. Where that can't be had, the path is copied while services are down, as elsewhere.
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.paths import is_below
from ..config.schema import Config
from ..filesystem import btrfs
from ..filesystem.mounts import Mount, mount_holding, read_mounts
from ..process.runner import Runner
from .rsync import COLD_SNAPSHOTS_NAME

# Mounts pairs of SNAPSHOT PATH, up to "--", then becomes the command behind it.
_MOUNT_AND_RUN = (
    'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"'
)
_NAMESPACE = ("unshare", "--mount", "--", "sh", "-c", _MOUNT_AND_RUN, "sh")


class NoSnapshot(BackupError):
    """Why a path can't be read from a snapshot."""


class Frozen(NamedTuple):
    """A path that can be read from snapshots: as configured, without links, and its subvolume.

    *directory* is where snapshots of its file system are kept.
    """

    path: str
    real: str
    subvolume: str
    directory: str


class Bound(NamedTuple):
    """A path, and the same in a snapshot."""

    target: str
    snapshot: str


class ColdSnapshots:
    """Snapshots that hold some paths as they were at one moment."""

    def __init__(self, staging: str) -> None:
        self._staging = staging
        self._frozen: List[Frozen] = []
        self._bound: List[Bound] = []
        self._made: List[Tuple[str, str]] = []

    @property
    def paths(self) -> Tuple[str, ...]:
        """What the snapshots hold, as configured; empty before :meth:`take`."""
        return tuple(item.path for item in self._frozen)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to :meth:`drop`."""
        return not self._made

    def take(self, paths: Iterable[str]) -> None:
        """Take what is needed for those of *paths* that can be read from snapshots.

        Raises :class:`OSError`; what was taken until then goes with :meth:`drop`.
        """
        mounts = read_mounts()
        frozen = []
        for path in paths:
            try:
                frozen.append(find_frozen(path, self._staging, mounts))
            except NoSnapshot:
                # It was told before the stop, or the path is gone.
                continue
        snapshots: Dict[str, str] = {}
        bound = set()
        for item in frozen:
            nested = _nested(item.subvolume, item.real)
            for subvolume in (item.subvolume, *nested):
                if subvolume not in snapshots:
                    snapshots[subvolume] = self._take(subvolume, item.directory)
            below = os.path.relpath(item.real, item.subvolume)
            inside = os.path.normpath(os.path.join(snapshots[item.subvolume], below))
            bound.add(Bound(item.real, inside))
            bound.update(Bound(path, snapshots[path]) for path in nested)
        # One around others comes first: theirs are mounted over its empty directories.
        self._bound = sorted(bound)
        self._frozen = frozen

    def where(self, path: str) -> str:
        """Where to read *path*, a configured one or below it: in its snapshot, if it is in one."""
        real = path
        for item in self._frozen:
            if is_below(path, item.path):
                real = item.real + path[len(item.path) :]
        for bound in reversed(self._bound):
            if is_below(real, bound.target):
                return bound.snapshot + real[len(bound.target) :]
        return path

    def command_prefix(self) -> List[str]:
        """What goes before a command so that it sees the snapshots in place of the paths."""
        pairs = [part for bound in self._bound for part in (bound.snapshot, bound.target)]
        return [*_NAMESPACE, *pairs, "--"]

    def drop(self) -> List[str]:
        """Delete the snapshots; return in words what could not be deleted."""
        problems = [problem for made in self._made for problem in _delete(*made)]
        for directory in dict.fromkeys(directory for directory, _name in self._made):
            problems += _remove_directory(directory)
        self._made, self._bound, self._frozen = [], [], []
        return problems

    def _take(self, subvolume: str, directory: str) -> str:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        name = str(len(self._made))
        # Noted first: a signal may come between the two.
        self._made.append((directory, name))
        btrfs.take_snapshot(subvolume, directory, name)
        return os.path.join(directory, name)


def prepare_snapshots(
    paths: Iterable[str], staging: str, runner: Runner
) -> Tuple[bool, Tuple[str, ...]]:
    """Look at *paths* while services run, and write back what is dirty: snapshots are quick then.

    Returns whether any of them can be read from a snapshot, and in words why the others can't.
    """
    mounts = read_mounts()
    reasons: Dict[str, List[str]] = {}
    synced: List[str] = []
    for path in paths:
        try:
            frozen = find_frozen(path, staging, mounts)
            if frozen.subvolume not in synced:
                _try_namespace(frozen, runner)
                btrfs.sync_file_system(frozen.subvolume)
                synced.append(frozen.subvolume)
        except (BackupError, OSError) as error:
            reasons.setdefault(str(error), []).append(path)
    told = tuple(f"{', '.join(concerned)}: {reason}" for reason, concerned in reasons.items())
    return bool(synced), told


def find_frozen(path: str, staging: str, mounts: List[Mount]) -> Frozen:
    """How *path* would be read from a snapshot; raises :class:`NoSnapshot` with the reason."""
    if not os.path.lexists(path):
        raise NoSnapshot("it does not exist")
    real = os.path.realpath(path)
    mount = mount_holding(real, mounts)
    if mount is None or mount.file_system != btrfs.FILE_SYSTEM:
        raise NoSnapshot(f"{mount.file_system if mount else 'its file system'} has no snapshots")
    if mount.read_only:
        raise NoSnapshot("its file system is read-only")
    if is_below(os.path.realpath(staging), real):
        raise NoSnapshot("staging lies below it")
    for other in mounts:
        if other.mount_point != real and is_below(other.mount_point, real):
            raise NoSnapshot(f"{other.mount_point} below it is a mount of its own")
    subvolume: Optional[str] = real
    while subvolume is not None and not btrfs.is_subvolume(subvolume):
        subvolume = None if subvolume == mount.mount_point else os.path.dirname(subvolume)
    if subvolume is None:
        raise NoSnapshot(f"{mount.mount_point} is mounted without the top of its subvolume")
    return Frozen(path, real, subvolume, _directory(mount, staging, mounts))


def drop_leftovers(config: Config, journal: Journal) -> List[str]:
    """Delete the snapshots that a killed run left; return in words what could not be deleted."""
    mounts = read_mounts()
    places = [os.path.realpath(path) for source in config.sources for path in source.paths]
    concerned = [mount_holding(place, mounts) for place in places]
    concerned += [
        mount for mount in mounts if any(is_below(mount.mount_point, place) for place in places)
    ]
    directories = {
        _directory(mount, config.paths.staging, mounts)
        for mount in concerned
        if mount is not None and mount.file_system == btrfs.FILE_SYSTEM
    }
    problems = []
    for directory in sorted(filter(os.path.isdir, directories)):
        for name in sorted(os.listdir(directory)):
            if btrfs.is_subvolume(os.path.join(directory, name)):
                journal.info(f"deleting {directory}/{name}, a snapshot that a killed run left")
                problems += _delete(directory, name)
        problems += _remove_directory(directory)
    return problems


def _directory(mount: Mount, staging: str, mounts: List[Mount]) -> str:
    """Where snapshots of what is mounted there are kept: on the same file system."""
    real = os.path.realpath(staging)
    held = mount_holding(real, mounts)
    same = held is not None and held.device_number == mount.device_number
    return os.path.join(real if same else mount.mount_point, COLD_SNAPSHOTS_NAME)


def _nested(subvolume: str, path: str) -> List[str]:
    """All subvolumes below *path* in *subvolume*, at any depth."""
    found: List[str] = []
    for nested in btrfs.nested_subvolumes(subvolume):
        if is_below(nested, path):
            found += [nested, *_nested(nested, path)]
    return found


def _try_namespace(frozen: Frozen, runner: Runner) -> None:
    """Raise :class:`BackupError` where mounting for one command alone is not possible."""
    runner.run([*_NAMESPACE, frozen.real, frozen.real, "--", "true"])


def _delete(directory: str, name: str) -> List[str]:
    try:
        btrfs.delete_subvolume(directory, name)
    except FileNotFoundError:
        # The kernel refused to make it.
        return []
    except OSError as error:
        return [f"the snapshot {directory}/{name} can't be deleted: {error.strerror}"]
    return []


def _remove_directory(directory: str) -> List[str]:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{directory} can't be removed: {error.strerror}"]
    return []
