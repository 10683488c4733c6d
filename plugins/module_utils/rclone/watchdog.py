# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watchdog for rclone: it ends a run that gets nowhere.

With a key that is revoked in mid-run rclone 1.75 retries for hours and ignores SIGTERM, so the
end is SIGKILL. The watchdog sees progress in rclone's own counters and, while rclone reads a
file to hash it before the upload (nothing is counted then), in the bytes the process reads.
Long before it gives up it asks whether the work can still be done at all.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import TracebackType
from typing import Callable, Optional, Tuple, Type

from ..base.errors import BackupError

# SIGTERM lets a healthy rclone cancel its unfinished large files; a stuck one ignores it.
TERMINATE_GRACE_SECONDS = 10.0
POLL_SECONDS = 1.0
# Retried calls read a few kilobytes; the hash of a file reads many megabytes a second even on a
# USB 2.0 disk. Less than this within the stall time is no progress.
READ_PROGRESS_BYTES = 8 * 1024**2
# A run without progress for this long is worth a question to B2, and again after as long.
PROBE_SECONDS = 60.0


class StallWatch:
    """Ends the process group of :meth:`start`'s pid after *stall_seconds* without progress.

    A context manager: the watching thread lives inside it. :attr:`stalled` says whether the
    group was ended for that. After each *probe_seconds* without progress *probe* is called in
    the watching thread; what it raises ends the group at once and is kept in :attr:`refused`.
    """

    def __init__(
        self,
        stall_seconds: float,
        grace_seconds: float = TERMINATE_GRACE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        probe: Optional[Callable[[], None]] = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self.stall_seconds = stall_seconds
        self.grace_seconds = grace_seconds
        self.poll_seconds = poll_seconds
        self.stalled = False
        self.refused: Optional[BackupError] = None
        self.probe = probe
        self.probe_seconds = probe_seconds
        self._last_probe = time.monotonic()
        self._pid: Optional[int] = None
        self._counters: Tuple[int, ...] = ()
        self._read_bytes = 0
        self._last_progress = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rclone-watch", daemon=True)

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._closed.set()
        self._thread.join()

    def start(self, pid: int) -> None:
        """Watch the process *pid*, which leads its own process group."""
        self._last_progress = time.monotonic()
        self._pid = pid

    def counters(self, counters: Tuple[int, ...]) -> None:
        """Report rclone's counters; any that is higher than ever before is progress."""
        if not self._counters:
            self._counters = counters
        highest = tuple(max(pair) for pair in zip(self._counters, counters))
        if highest != self._counters:
            self._counters = highest
            self._last_progress = time.monotonic()

    def _watch(self) -> None:
        while not self._closed.wait(self.poll_seconds):
            pid = self._pid
            if pid is None:
                continue
            read_bytes = _read_bytes(pid)
            if read_bytes - self._read_bytes >= READ_PROGRESS_BYTES:
                self._read_bytes = read_bytes
                self._last_progress = time.monotonic()
            self.stalled = time.monotonic() - self._last_progress >= self.stall_seconds
            if self.stalled or self._is_refused():
                self._end(pid)
                return

    def _is_refused(self) -> bool:
        since = max(self._last_progress, self._last_probe)
        if self.probe is None or time.monotonic() - since < self.probe_seconds:
            return False
        try:
            self.probe()
        except BackupError as error:
            self.refused = error
        self._last_probe = time.monotonic()
        return self.refused is not None

    def _end(self, pid: int) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(pid, signal_number)
            except ProcessLookupError:
                return
            if self._closed.wait(self.grace_seconds):
                return


def _read_bytes(pid: int) -> int:
    """Bytes the process has read from the kernel so far (proc(5): rchar), 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("rchar:"):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0
