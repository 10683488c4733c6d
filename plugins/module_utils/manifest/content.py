# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of restored files: put in place, checked, and sparse again."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from typing import Iterator, Optional, Tuple

# Fewer system calls than with the usual 64 KiB, and still nothing beside 2 GB of memory.
READ_BYTES = 1 << 20
# The block size of ext4, XFS and btrfs on the Potato: a smaller hole saves nothing.
_HOLE_BYTES = 4096
# st_blocks counts units of 512 bytes on every file system (stat(2)).
_BLOCK_BYTES = 512
_FALLOC_FL_KEEP_SIZE = 0x01  # linux/falloc.h
_FALLOC_FL_PUNCH_HOLE = 0x02
_ZEROS = bytes(READ_BYTES)
_LIBC = ctypes.CDLL(None, use_errno=True)


def is_sparse(status: os.stat_result) -> bool:
    """Whether a file takes less room than its size."""
    return status.st_blocks * _BLOCK_BYTES < status.st_size


def content_chunks(descriptor: int, buffer: bytearray) -> Iterator[Tuple[int, memoryview]]:
    """The content of an open file: offsets and chunks, each valid until the next.

    Holes are not read: 2 GB of nothing would cost seconds and push everything else out of the
    page cache. *buffer* has :data:`READ_BYTES` bytes. Raises :class:`OSError`.
    """
    status = os.fstat(descriptor)
    view, zeros = memoryview(buffer), memoryview(_ZEROS)
    offset, data_end = 0, 0
    while offset < status.st_size:
        if offset >= data_end and is_sparse(status):
            data_start = _seek(descriptor, offset, os.SEEK_DATA, status.st_size)
            while offset < data_start:
                count = min(READ_BYTES, data_start - offset)
                yield offset, zeros[:count]
                offset += count
            data_end = _seek(descriptor, offset, os.SEEK_HOLE, status.st_size)
            continue
        room = READ_BYTES if offset >= data_end else min(READ_BYTES, data_end - offset)
        count = os.preadv(descriptor, [view[:room]], offset)
        if not count:
            return
        yield offset, view[:count]
        offset += count


def _seek(descriptor: int, offset: int, whence: int, end: int) -> int:
    """Where the next data or hole begins at or after *offset*; *end* when there is none."""
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return end


def hash_content(directory_fd: int, name: bytes, buffer: bytearray, make_sparse: bool) -> str:
    """SHA-256 of the file *name*; with *make_sparse*, its runs of zeros become holes on the way.

    *buffer* has :data:`READ_BYTES` bytes. A file system without holes keeps the zeros. Raises
    :class:`OSError`.
    """
    access = os.O_RDWR if make_sparse else os.O_RDONLY
    flags = access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=directory_fd)
    try:
        punch = make_sparse
        digest = hashlib.sha256()
        for offset, chunk in content_chunks(descriptor, buffer):
            digest.update(chunk)
            punch = punch and _punch_zeros(descriptor, chunk, offset)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def _punch_zeros(descriptor: int, data: memoryview, offset: int) -> bool:
    """Make holes of the zero blocks of *data*, read at *offset*; False when there are no holes
    on this file system."""
    if bytes(data) == _ZEROS[: len(data)]:
        return _punch(descriptor, offset, len(data))
    start: Optional[int] = None
    for position in range(0, len(data) + 1, _HOLE_BYTES):
        block = data[position : position + _HOLE_BYTES]
        if len(block) == _HOLE_BYTES and bytes(block) == _ZEROS[:_HOLE_BYTES]:
            start = position if start is None else start
        elif start is not None:
            if not _punch(descriptor, offset + start, position - start):
                return False
            start = None
    return True


def _punch(descriptor: int, offset: int, length: int) -> bool:
    result = _LIBC.fallocate64(
        ctypes.c_int(descriptor),
        ctypes.c_int(_FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE),
        ctypes.c_int64(offset),
        ctypes.c_int64(length),
    )
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOTSUP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
