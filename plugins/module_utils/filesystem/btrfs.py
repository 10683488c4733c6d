# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of btrfs that the cold pass needs, by the kernel's own calls (linux/btrfs.h).

Not by btrfs(8): that would be one package more on the board, and processes to start and text to
parse while services are down. The calls and their structures are as stable as any system call;
the newest of them came with Linux 4.18.

Every function raises :class:`OSError` with the kernel's reason.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import contextmanager
from typing import Iterator, List

FILE_SYSTEM = "btrfs"

# The root directory of every subvolume (BTRFS_FIRST_FREE_OBJECTID).
SUBVOLUME_INODE = 256

# Each call takes one structure of 4096 bytes; _IOW and _IOWR of type 0x94 on ARM and x86.
_ARGUMENT_BYTES = 4096
_SNAP_DESTROY = 0x5000940F
_SNAP_CREATE_V2 = 0x50009417
_GET_SUBVOL_ROOTREF = 0xD000943D
_INO_LOOKUP_USER = 0xD000943E
_SYNC = 0x9408  # _IO, no structure

_READ_ONLY = 1 << 1  # BTRFS_SUBVOL_RDONLY
_CREATE_HEAD = struct.Struct("=qQQ")  # descriptor of the subvolume, transaction, flags
_CREATE_NAME_OFFSET = 56
_DESTROY_NAME_OFFSET = 8
_ROOTREF = struct.Struct("=QQ")  # subvolume, directory that holds it
_ROOTREF_OFFSET = 8
_ROOTREF_COUNT_OFFSET = 8 + 255 * 16
_LOOKUP_NAME = slice(16, 272)
_LOOKUP_PATH = slice(272, _ARGUMENT_BYTES)


def is_subvolume(path: str) -> bool:
    """Whether *path*, which lies on btrfs, is the root directory of a subvolume."""
    return os.path.isdir(path) and os.stat(path).st_ino == SUBVOLUME_INODE


def sync_file_system(path: str) -> None:
    """Write back everything dirty on the file system of *path* and commit it."""
    with _opened(path) as descriptor:
        fcntl.ioctl(descriptor, _SYNC)


def take_snapshot(subvolume: str, directory: str, name: str) -> None:
    """Make DIRECTORY/NAME a read-only snapshot of *subvolume* as it is this moment.

    What was written and is not on disk yet is in it, also through a memory map: the kernel writes
    the subvolume back first.
    """
    argument = bytearray(_ARGUMENT_BYTES)
    with _opened(subvolume) as source, _opened(directory) as target:
        _CREATE_HEAD.pack_into(argument, 0, source, 0, _READ_ONLY)
        _put_name(argument, _CREATE_NAME_OFFSET, name)
        fcntl.ioctl(target, _SNAP_CREATE_V2, argument)


def delete_subvolume(directory: str, name: str) -> None:
    """Delete the subvolume or snapshot DIRECTORY/NAME; its blocks become free in the background."""
    argument = bytearray(_ARGUMENT_BYTES)
    _put_name(argument, _DESTROY_NAME_OFFSET, name)
    with _opened(directory) as descriptor:
        fcntl.ioctl(descriptor, _SNAP_DESTROY, argument)


def nested_subvolumes(subvolume: str) -> List[str]:
    """The paths of the subvolumes right inside *subvolume*, not of those inside them.

    Their directories are empty in a snapshot of it.
    """
    found = []
    following = 0
    with _opened(subvolume) as descriptor:
        while True:
            argument = bytearray(_ARGUMENT_BYTES)
            struct.pack_into("=Q", argument, 0, following)
            full = _more_than_fit(descriptor, argument)
            count = argument[_ROOTREF_COUNT_OFFSET]
            for index in range(count):
                offset = _ROOTREF_OFFSET + index * _ROOTREF.size
                identity, holder = _ROOTREF.unpack_from(argument, offset)
                found.append(os.path.join(subvolume, _path_below(descriptor, identity, holder)))
                following = identity + 1
            if not full:
                return found


def _more_than_fit(descriptor: int, argument: bytearray) -> bool:
    try:
        fcntl.ioctl(descriptor, _GET_SUBVOL_ROOTREF, argument)
    except OSError as error:
        if error.errno != errno.EOVERFLOW:
            raise
        return True
    return False


def _path_below(descriptor: int, identity: int, holder: int) -> str:
    argument = bytearray(_ARGUMENT_BYTES)
    _ROOTREF.pack_into(argument, 0, holder, identity)
    fcntl.ioctl(descriptor, _INO_LOOKUP_USER, argument)
    name, path = (bytes(argument[part]).split(b"\0")[0] for part in (_LOOKUP_NAME, _LOOKUP_PATH))
    # The path ends in a slash where there is one.
    return os.fsdecode(path + name)


def _put_name(argument: bytearray, offset: int, name: str) -> None:
    raw = os.fsencode(name)
    argument[offset : offset + len(raw)] = raw


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
