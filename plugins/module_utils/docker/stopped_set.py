# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set of containers that we stopped, on disk before the first one stops.

Whatever ends a run, the next one, the boot recovery and ``lepotato-backup recover`` find here
what is theirs to start. A container leaves the set when it has been started again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Sequence, Tuple

from ..base.errors import BackupError
from ..filesystem.atomic_write import sync_directory, write_json_atomically

FILE_NAME = "stopped.json"
LOCK_NAME = "stopped.lock"
FORMAT_VERSION = 1
BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class StoppedEntry:
    """One container that we stop or stopped.

    *started_at* is the engine's time of its last start before our stop: another value later
    means that it has been started since. *stop_deadline_seconds* is on the monotonic clock of
    the boot *boot_id*: until then a stop that we asked for may still be under way.
    *needs* are IDs of other entries. *stopped_at_seconds* is Unix time. *was_unhealthy*: its
    health check was red before the stop, so that it is not asked to be green after it.
    """

    id: str
    name: str
    group: str
    started_at: str
    stopped_at_seconds: float
    stop_deadline_seconds: float
    boot_id: str
    project: str = ""
    service: str = ""
    number: str = ""
    needs: Tuple[str, ...] = ()
    was_looping: bool = False
    was_unhealthy: bool = False


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open(BOOT_ID_PATH, encoding="ascii") as stream:
        return stream.read().strip()


class StoppedSet:
    """The entries in ``STATE/stopped.json``, in stop order; every change is on disk on return."""

    def __init__(self, state_directory: str) -> None:
        self.directory = state_directory
        self.path = os.path.join(state_directory, FILE_NAME)

    def entries(self) -> List[StoppedEntry]:
        """What is to be started, in stop order.

        Raises :class:`BackupError` when the file can't be read: guessing would leave something
        down.
        """
        try:
            with open(self.path, encoding="utf-8") as stream:
                raw = json.load(stream)
            if raw["version"] != FORMAT_VERSION:
                raise ValueError(f"version {raw['version']!r} is not known")
            return [_entry(item) for item in raw["stopped"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{self.path}, the list of containers that a run stopped, can't be read: {error}",
                "Start your containers by hand ('docker ps -a'), then remove the file",
            ) from error

    def add(self, entries: Sequence[StoppedEntry]) -> None:
        """Add *entries*; one that is in the set already keeps its place and gets the new data."""

        def merged(before: List[StoppedEntry]) -> List[StoppedEntry]:
            new = {entry.id: entry for entry in entries}
            kept = [new.pop(entry.id, entry) for entry in before]
            return kept + list(new.values())

        self._change(merged)

    def remove(self, identities: Sequence[str]) -> None:
        """Drop the entries with these IDs."""
        gone = set(identities)
        self._change(lambda before: [entry for entry in before if entry.id not in gone])

    def _change(self, change: Callable[[List[StoppedEntry]], List[StoppedEntry]]) -> None:
        try:
            os.makedirs(self.directory, mode=0o755, exist_ok=True)
            with self._locked():
                before = self.entries()
                after = change(before)
                if after != before:
                    self._write(after)
        except OSError as error:
            raise BackupError(
                f"{self.path} can't be written: {error.strerror}",
                "No container is stopped without being listed there first",
            ) from error

    def _write(self, entries: Sequence[StoppedEntry]) -> None:
        if entries:
            body = [dataclasses.asdict(entry) for entry in entries]
            write_json_atomically(self.path, {"version": FORMAT_VERSION, "stopped": body})
        else:
            os.unlink(self.path)
            sync_directory(self.directory)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A playbook and a night may change the set at one moment.
        lock_path = os.path.join(self.directory, LOCK_NAME)
        with open(lock_path, "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def stop_may_be_under_way(entry: StoppedEntry) -> bool:
    """Whether a stop asked for by a run that died may still take effect."""
    return entry.boot_id == boot_id() and time.monotonic() < entry.stop_deadline_seconds


def _entry(raw: Any) -> StoppedEntry:
    values = dict(raw)
    values["needs"] = tuple(values.get("needs", ()))
    return StoppedEntry(**values)
