# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that holds an ext4 file system, and whose space is its own from the first day.

The space stays the file's only as long as nobody punches holes into it: mkfs and the kernel's
lazy initialisation would (a loop device turns discards and zeroing into holes), and so would
fstrim. So nothing is lazy, fstab tells fstrim to stay away, and holes are filled again.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple, Optional

from ..base.errors import BackupError
from ..process.runner import Runner

MEBIBYTE_BYTES = 1024**2

LABEL = "backup-staging"
_MKFS = (
    *("mkfs.ext4", "-q", "-F", "-m", "0", "-L", LABEL),
    *("-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
)

# The superblock of ext4 (kernel documentation, filesystems/ext4): its place, and in it the
# fields s_blocks_count_lo, s_log_block_size, s_magic and s_blocks_count_hi.
_SUPERBLOCK_OFFSET, _SUPERBLOCK_BYTES = 1024, 1024
_BLOCKS_LOW, _BLOCK_SIZE, _MAGIC, _BLOCKS_HIGH = 0x4, 0x18, 0x38, 0x150
_EXT_MAGIC = 0xEF53
_SMALLEST_BLOCK_BYTES = 1024

# ext4 leaves the end unused where it is too short for the tables of one more block group: 512
# blocks of inodes, 1024 reserved for growth and a few more, of 4096 bytes each.
_UNUSED_BYTES_MAX = 8 * MEBIBYTE_BYTES

_STAT_BLOCK_BYTES = 512


class ImageFile(NamedTuple):
    """Bytes of an image: the file's length, what of it is allocated, its file system's size.

    *file_system_bytes* is 0 when there is no ext4 in it.
    """

    size_bytes: int
    allocated_bytes: int
    file_system_bytes: int

    @property
    def is_whole(self) -> bool:
        """All of the file is allocated, and all of it is used."""
        return (
            self.allocated_bytes >= self.size_bytes
            and self.file_system_bytes > self.size_bytes - _UNUSED_BYTES_MAX
        )


def look_at_image(path: str) -> Optional[ImageFile]:
    """What the image at *path* is; None when there is none.

    Raises :class:`BackupError` when something else is there.
    """
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        raise BackupError(f"{path} is not a file", "Move it away: the staging image belongs there")
    status = os.stat(path)
    with open(path, "rb") as stream:
        stream.seek(_SUPERBLOCK_OFFSET)
        block = stream.read(_SUPERBLOCK_BYTES)
    allocated_bytes = status.st_blocks * _STAT_BLOCK_BYTES
    return ImageFile(status.st_size, allocated_bytes, _file_system_bytes(block))


def make_image(path: str, size_bytes: int, runner: Runner) -> None:
    """Make an image with an empty file system at *path*, which must not exist.

    Raises :class:`BackupError` or :class:`OSError`.
    """
    reserve(path, size_bytes)
    runner.run([*_MKFS, path])


def reserve(path: str, size_bytes: int) -> None:
    """Allocate *size_bytes* for the file, and fill its holes; what it holds stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_system_bytes(block: bytes) -> int:
    if len(block) < _SUPERBLOCK_BYTES:
        return 0
    (magic,) = struct.unpack_from("<H", block, _MAGIC)
    if magic != _EXT_MAGIC:
        return 0
    low, high = (struct.unpack_from("<I", block, at)[0] for at in (_BLOCKS_LOW, _BLOCKS_HIGH))
    (shift,) = struct.unpack_from("<I", block, _BLOCK_SIZE)
    return int((high << 32 | low) * (_SMALLEST_BLOCK_BYTES << shift))
