# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which live paths a restore in place concerns, and where their new content waits beside them.

New content is made on the same mount as what it replaces, so that the swap is renames only.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from ..base.errors import BackupError
from ..config.schema import Source
from ..filesystem.mounts import Mount, mount_holding
from ..manifest.file import read_entries
from ..manifest.model import DIRECTORY, FILE, SOCKET, AnyPath, Entry, Select, encode_entry
from ..manifest.xattrs import read_xattrs
from ..points.model import Seal
from .selection import Wish, live_path, outermost

# Names that a restore in place leaves beside live data; the capture leaves them out.
STAGE_PREFIX = ".lepotato-restore-"
REJECTED_PREFIX = ".lepotato-rejected-"
ASIDE_INFIX = ".lepotato-before-"

# Names are bytes, up to 255 of them on every Linux file system; the suffix takes its share.
_NAME_BYTES_MAX = 200
_NAME_BYTES_KEPT = 150

# mke2fs makes it in the root of every ext4 file system: it belongs to the disk, not the data.
_OF_THE_DISK = "lost+found"


@dataclass(frozen=True)
class Unit:
    """One live path that is replaced as a whole.

    *entry* is what is selected; *path* (its path, or a directory above that does not exist on
    the host yet) is what is renamed to *live*. *is_mount*: a mount point can't be renamed, so
    what is in it is replaced name by name.
    """

    entry: Entry
    path: bytes
    live: str
    is_mount: bool = False


@dataclass(frozen=True)
class Stage:
    """The units of one mount and the directory on it that their new content is made in."""

    directory: str
    units: Tuple[Unit, ...]
    download_bytes: int


@dataclass(frozen=True)
class Move:
    """One rename and its way back: *live* goes to *aside*, *staged* takes its place.

    *aside* is "" when nothing was there before, *staged* is "" when nothing takes its place.
    """

    live: str
    staged: str
    aside: str


@dataclass(frozen=True)
class Root:
    """A mount point whose own owner, mode and times change: entries as a manifest writes them."""

    live: str
    before: str
    after: str


def plan_stages(
    manifest: AnyPath,
    select: Select,
    sources: Sequence[Source],
    seal: Seal,
    wish: Wish,
    mounts: List[Mount],
) -> List[Stage]:
    """What is restored in place, by mount.

    Raises :class:`BackupError` when nothing of the selection lives on this host, or a file system
    is mounted below what would be renamed.
    """
    entries = [
        entry
        for entry in outermost(manifest, select, sources, spared_unless=wish.paths)
        if entry.type != SOCKET
    ]
    if not entries:
        raise BackupError(
            f"nothing of {wish.told()} in {seal.id} belongs to a source of this host",
            "Restore it into a directory with --target. What makes a board the board that it is "
            "(/etc/hostname, /etc/fstab, ssh host keys, network) goes in place only when --path "
            "names it",
        )
    by_mount: Dict[str, List[Tuple[Unit, str]]] = {}
    for entry in entries:
        unit = _unit(entry, mounts)
        base = unit.live if unit.is_mount else os.path.dirname(unit.live)
        mount = mount_holding(base, mounts)
        by_mount.setdefault(mount.mount_point if mount else "/", []).append((unit, base))
    sizes = _sizes(manifest, select, [entry.path for entry in entries])
    name = STAGE_PREFIX + seal.id + "-" + _mark(wish)
    stages = []
    for found in by_mount.values():
        above = os.path.commonpath([base for unit, base in found])
        units = tuple(unit for unit, _base in found)
        needed_bytes = sum(sizes[unit.entry.path] for unit in units)
        stages.append(Stage(os.path.join(above, name), units, needed_bytes))
    return stages


def live_paths(stages: Sequence[Stage]) -> List[str]:
    """The live paths that are replaced."""
    return [unit.live for stage in stages for unit in stage.units]


def make_moves(stages: Sequence[Stage], identifier: str) -> List[Move]:
    """The renames that put what *stages* hold in place; nothing may write to it meanwhile.

    *identifier* becomes part of the names of what is moved aside.
    """
    moves: Dict[str, Move] = {}
    for stage in stages:
        for unit in stage.units:
            staged = os.path.join(stage.directory, os.fsdecode(unit.path))
            if not unit.is_mount:
                moves[unit.live] = _move(unit.live, staged, identifier)
                continue
            for name in sorted({*_names(staged), *_names(unit.live)}):
                live, new = os.path.join(unit.live, name), os.path.join(staged, name)
                moves[live] = _move(live, new if os.path.lexists(new) else "", identifier)
    return list(moves.values())


def make_roots(stages: Sequence[Stage]) -> List[Root]:
    """The mount points among the units, with what they are and what they become."""
    return [
        Root(
            unit.live,
            _line(describe_directory(unit.live), unit.live),
            _line(unit.entry, unit.live),
        )
        for stage in stages
        for unit in stage.units
        if unit.is_mount and unit.live != "/"
    ]


def describe_directory(path: str) -> Entry:
    """The directory at *path* as an entry. Raises OSError."""
    status = os.lstat(path)
    return Entry(
        path=os.fsencode(os.path.basename(path)),
        type=DIRECTORY,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        xattrs=read_xattrs(path),
    )


def _line(entry: Entry, live: str) -> str:
    named = entry._replace(path=os.fsencode(os.path.basename(live)))
    return encode_entry(named).decode("ascii")


def is_ours(name: str) -> bool:
    """Whether a name beside live data was left by a restore in place."""
    return name.startswith((STAGE_PREFIX, REJECTED_PREFIX)) or ASIDE_INFIX in name


def _unit(entry: Entry, mounts: List[Mount]) -> Unit:
    live = live_path(entry.path)
    if entry.type == DIRECTORY and os.path.islink(live) and os.path.isdir(live):
        # The capture followed a source that is a link to a directory.
        live = os.path.realpath(live)
    else:
        live = os.path.join(os.path.realpath(os.path.dirname(live)), os.path.basename(live))
    path = entry.path
    while not os.path.lexists(os.path.dirname(live)):
        live, path = os.path.dirname(live), path.rpartition(b"/")[0]
    below = [mount.mount_point for mount in mounts if mount.mount_point.startswith(live + "/")]
    if below:
        raise BackupError(
            f"{live} can't be replaced: {below[0]} is mounted below it",
            "Choose what lies beside the mount with --path, or restore into a directory",
        )
    is_mount = any(mount.mount_point == live for mount in mounts)
    if is_mount and not os.path.isdir(live):
        raise BackupError(
            f"{live} can't be replaced: it is a mount of its own", "Restore into a directory"
        )
    return Unit(entry, path, live, is_mount)


def _move(live: str, staged: str, identifier: str) -> Move:
    return Move(live, staged, _aside(live, identifier) if os.path.lexists(live) else "")


def _aside(live: str, identifier: str) -> str:
    directory, name = os.path.split(live)
    raw = os.fsencode(name)
    if len(raw) > _NAME_BYTES_MAX:
        name = os.fsdecode(raw[:_NAME_BYTES_KEPT]) + "~" + hashlib.sha256(raw).hexdigest()[:8]
    return os.path.join(directory, name + ASIDE_INFIX + identifier)


def _names(directory: str) -> List[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [name for name in names if name != _OF_THE_DISK and not is_ours(name)]


def _mark(wish: Wish) -> str:
    """A short word for the selection, so that the same one finds its directory again."""
    told = json.dumps(wish.to_json(), sort_keys=True).encode("utf-8")
    return hashlib.sha256(told).hexdigest()[:8]


def _sizes(manifest: AnyPath, select: Select, paths: List[bytes]) -> Dict[bytes, int]:
    """Bytes to download for each of *paths*, which are in the manifest's order."""
    sizes = dict.fromkeys(paths, 0)
    following = iter(paths)
    here, coming = b"", next(following, None)
    for entry in read_entries(manifest):
        if entry.path == coming:
            here, coming = coming, next(following, None)
        if (
            here
            and entry.type == FILE
            and (entry.path == here or entry.path.startswith(here + b"/"))
            and (entry.link is None or not select(entry.link))
        ):
            sizes[here] += entry.size
    return sizes
