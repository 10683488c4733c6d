# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: an advisory lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from types import TracebackType
from typing import Optional, Type

from ..base.errors import LockHeld

POLL_SECONDS = 0.2


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class RunLock:
    """Hold the exclusive lock at *path* while in the ``with`` block.

    Raises :class:`LockHeld` when another process holds it and does not give it back within
    *wait_seconds* (at once, unless told otherwise), naming that process.
    """

    def __init__(self, path: str, wait_seconds: float = 0.0) -> None:
        self.path = path
        self.wait_seconds = wait_seconds
        self._descriptor: Optional[int] = None

    def __enter__(self) -> RunLock:
        descriptor = self._open()
        deadline_seconds = time.monotonic() + self.wait_seconds
        while not _taken(descriptor):
            if time.monotonic() < deadline_seconds:
                time.sleep(POLL_SECONDS)
                continue
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise LockHeld(
                f"another run (process {holder}) holds {self.path}",
                "Wait for it to end; nothing was changed",
            )
        # Only for people: on a full or read-only disk the recovery must still start containers.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor
        return self

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # A file that can't be written can be locked all the same.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        # The file stays: removing it would let two runs hold locks on two different files.
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
