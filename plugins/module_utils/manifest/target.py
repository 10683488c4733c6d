# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reach entries below a target without ever leaving it.

Every directory is reached from the target's own descriptor, name by name, with O_NOFOLLOW: a
symlink that lies where a directory should be is an error, never a way out of the target. The
last name is only used by calls that don't follow symlinks either.
"""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

from .model import AnyPath

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetTree:
    """A directory below which everything happens. A context manager; keeps one directory open."""

    def __init__(self, root: AnyPath) -> None:
        # The target's own path is the caller's choice: it may lead through symlinks.
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._cached_path: Optional[bytes] = None
        self._cached_fd = -1

    def __enter__(self) -> TargetTree:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._forget()
        os.close(self._root_fd)

    def open_directory(self, path: bytes) -> int:
        """A new descriptor of the directory at *path* (b"" is the root), for the caller to close.

        Raises :class:`OSError`: ENOTDIR where a symlink or a file lies on the way.
        """
        descriptor = os.dup(self._root_fd)
        for name in path.split(b"/") if path else ():
            try:
                inner = os.open(name, _OPEN_DIRECTORY, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor

    def place(self, path: bytes) -> Tuple[int, bytes]:
        """Descriptor of the directory that holds *path*, and the last name of *path*.

        The descriptor stays open until the next call. Raises :class:`OSError`.
        """
        parent, _slash, name = path.rpartition(b"/")
        if parent != self._cached_path:
            self._forget()
            self._cached_fd = self.open_directory(parent)
            self._cached_path = parent
        return self._cached_fd, name

    def status(self, path: bytes) -> Optional[os.stat_result]:
        """``lstat`` of *path*; None when nothing is there."""
        try:
            directory_fd, name = self.place(path)
            return os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self, path: bytes) -> List[bytes]:
        """The names in the directory at *path*, in no order. Raises :class:`OSError`."""
        descriptor = self.open_directory(path)
        try:
            # Not listdir(): it would hold all names twice.
            with os.scandir(descriptor) as found:
                return [os.fsencode(item.name) for item in found]
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        if self._cached_path is not None:
            os.close(self._cached_fd)
            self._cached_path = None
