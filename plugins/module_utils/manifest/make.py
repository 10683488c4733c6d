# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the entries that a download does not bring: each function can be repeated.

Something of another type in an entry's place is never overwritten: :class:`BlockedError` says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import Callable, Dict, Iterator, Optional, Tuple

from .metadata import change_mode
from .model import BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, Entry, Select, content_path
from .target import TargetTree

# A name for what is made before it is renamed into place. A new one for each process: a restored
# file may have any name, that of an interrupted run's leftover included.
_TEMPORARY_PREFIX = b".lepotato-backup-apply-"
_TEMPORARY_NAME = _TEMPORARY_PREFIX + secrets.token_hex(16).encode("ascii")
_TEMPORARY_PATTERN = re.compile(re.escape(_TEMPORARY_PREFIX) + rb"[0-9a-f]{32}\Z")

# Only root may enter or change a directory, or read a file, that is not finished yet.
_DIRECTORY_MODE = 0o700
_NODE_MODE = 0o600

_FORMAT_OF_NODE: Dict[str, int] = {
    FIFO: stat.S_IFIFO,
    CHARACTER_DEVICE: stat.S_IFCHR,
    BLOCK_DEVICE: stat.S_IFBLK,
}


class BlockedError(Exception):
    """An entry can't be made or checked; the text says why."""


def make_directory(tree: TargetTree, entry: Entry) -> None:
    """A directory at the entry's path that its owner can fill. Raises OSError, BlockedError."""
    status = tree.status(entry.path)
    directory_fd, name = tree.place(entry.path)
    if status is None:
        os.mkdir(name, _DIRECTORY_MODE, dir_fd=directory_fd)
    elif not stat.S_ISDIR(status.st_mode):
        raise BlockedError("something else is where a directory should be")
    elif os.geteuid() != 0 and status.st_mode & _DIRECTORY_MODE != _DIRECTORY_MODE:
        # An earlier run gave the directory its final mode; only root can work in it like that.
        change_mode(directory_fd, name, stat.S_IMODE(status.st_mode) | _DIRECTORY_MODE)


def make_symlink(tree: TargetTree, entry: Entry) -> None:
    """A symlink with the entry's target. Raises OSError, BlockedError."""
    status = tree.status(entry.path)
    directory_fd, name = tree.place(entry.path)
    target = entry.target or b""
    if status is None:
        os.symlink(target, name, dir_fd=directory_fd)
    elif not stat.S_ISLNK(status.st_mode):
        raise BlockedError("something else is where a symlink should be")
    elif os.readlink(name, dir_fd=directory_fd) != target:
        _replace(
            directory_fd,
            name,
            lambda temporary: os.symlink(target, temporary, dir_fd=directory_fd),
        )


def make_node(tree: TargetTree, entry: Entry) -> None:
    """A pipe or a device. Raises OSError (EPERM for a device without root), BlockedError."""
    status = tree.status(entry.path)
    directory_fd, name = tree.place(entry.path)
    kind = _FORMAT_OF_NODE[entry.type]
    device = os.makedev(*entry.device) if entry.device is not None else 0
    if status is None:
        os.mknod(name, kind | _NODE_MODE, device, dir_fd=directory_fd)
    elif stat.S_IFMT(status.st_mode) != kind or (entry.device and status.st_rdev != device):
        raise BlockedError(f"something else is where a {entry.type} should be")


def place_content(tree: TargetTree, entry: Entry) -> None:
    """The file's content under its own name: linked from its carrier or its group's leader.

    Raises OSError, and BlockedError when the content is missing.
    """
    status = tree.status(entry.path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise BlockedError("something else is where a file should be")
    if os.geteuid() != 0 and status is not None and not status.st_mode & stat.S_IRUSR:
        # An earlier run gave the file its final mode; only root can check it like that.
        change_mode(*tree.place(entry.path), _NODE_MODE)
    source = content_path(entry)
    content = status if source == entry.path else _content_status(tree, source)
    if content is None:
        # A repeated run, after the carriers have been removed, finds the file in place.
        if status is None:
            raise BlockedError("its content is missing")
        return
    if source == entry.path or (status is not None and os.path.samestat(status, content)):
        return
    parent, _slash, source_name = source.rpartition(b"/")
    source_fd = tree.open_directory(parent)
    try:
        directory_fd, name = tree.place(entry.path)
        _replace(
            directory_fd,
            name,
            lambda temporary: os.link(
                source_name,
                temporary,
                src_dir_fd=source_fd,
                dst_dir_fd=directory_fd,
                follow_symlinks=False,
            ),
        )
    finally:
        os.close(source_fd)


def _content_status(tree: TargetTree, source: bytes) -> Optional[os.stat_result]:
    status = tree.status(source)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise BlockedError(f"its content {os.fsdecode(source)!r} is not a file")
    return status


def _replace(directory_fd: int, name: bytes, make: Callable[[bytes], None]) -> None:
    """Make something under a temporary name and rename it over *name*."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_TEMPORARY_NAME, dir_fd=directory_fd)
    make(_TEMPORARY_NAME)
    os.rename(_TEMPORARY_NAME, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)


def is_leftover(path: bytes) -> bool:
    """Whether an interrupted run left *path*, a name that the manifest does not have."""
    return _TEMPORARY_PATTERN.match(path.rpartition(b"/")[2]) is not None


def remove_file(tree: TargetTree, path: bytes) -> None:
    """Remove the file at *path*, if it is there, without a trace in its directory's mtime."""
    if tree.status(path) is not None:
        with _kept_mtime(tree, path) as (directory_fd, name):
            os.unlink(name, dir_fd=directory_fd)


def remove_empty_directories(tree: TargetTree, path: bytes, is_kept: Select) -> None:
    """Remove the directory at *path* and those above it, as long as they are empty and
    *is_kept* does not accept them, without a trace in the mtime of what stays."""
    while path and not is_kept(path):
        try:
            with _kept_mtime(tree, path) as (directory_fd, name):
                os.rmdir(name, dir_fd=directory_fd)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.ENOENT):
                return
            raise
        path = path.rpartition(b"/")[0]


@contextlib.contextmanager
def _kept_mtime(tree: TargetTree, path: bytes) -> Iterator[Tuple[int, bytes]]:
    directory_fd, name = tree.place(path)
    status = os.fstat(directory_fd)
    yield directory_fd, name
    os.utime(directory_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
