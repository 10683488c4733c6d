# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second destination: what it is called, how it is reached, and its small objects.

It holds what the bucket holds, under the same names: ``daily/`` is its newest night,
``points/`` and ``manifests/`` describe all of them. What a night replaced or removed lies in
``history/NIGHT-N``, N counting the night's goes: there a restore finds what ``daily/`` lacks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..base.errors import BackupError, ConfigError
from ..bucket.layout import (
    DAILY_DIRECTORY,
    HISTORY_DIRECTORY,
    MANIFESTS_DIRECTORY,
    POINTS_DIRECTORY,
)
from ..config.schema import Config
from ..points.model import ids_of_manifests
from ..process.runner import Runner
from ..rclone.commands import Rclone
from ..rclone.log import RcloneNotFound
from ..rclone.move_to_history import DISK_TRAITS, AsideRclone, Traits
from ..rclone.name_lists import write_file_list
from .disk import held_disk, require_disk

# A disk seeks between files and an SSH server refuses many new connections at once.
TRANSFERS_MAX = 4

_HISTORY = re.compile(r"([0-9]{8}T[0-9]{6}Z)-([1-9])/")

OnMessage = Optional[Callable[[str, str], None]]


class History(NamedTuple):
    """A directory of what a night moved aside in one go; they sort by time."""

    point_id: str
    number: int

    @property
    def path(self) -> str:
        """The directory, below the crypt remote."""
        return f"{HISTORY_DIRECTORY}/{self.point_id}-{self.number}"


class Inventory(NamedTuple):
    """The small things that lie on the second destination: names of points, the nights of
    manifests, and what was moved aside; each oldest first."""

    points: Tuple[str, ...]
    manifests: Tuple[str, ...]
    histories: Tuple[History, ...]


class SecondStore:
    """Finds and removes single objects of the second destination, as :class:`..points.store.Store`
    says."""

    def __init__(self, rclone: AsideRclone, work_directory: Optional[str] = None) -> None:
        self._rclone = rclone
        self._work_directory = work_directory

    def points(self) -> List[str]:
        """The names of all objects of restore points."""
        return self._rclone.names(self._rclone.crypt(POINTS_DIRECTORY))

    def holds(self, path: str, plain_bytes: int) -> bool:
        """Whether the object at *path* can be read back with that size."""
        try:
            return len(self._rclone.cat(self._rclone.crypt(path))) == plain_bytes
        except RcloneNotFound:
            return False

    def hide(self, paths: Sequence[str]) -> List[str]:
        """Delete the objects at *paths*, for good; what is gone is no error."""
        if paths:
            with tempfile.NamedTemporaryFile(dir=self._work_directory) as stream:
                write_file_list(stream.name, (path.encode("ascii") for path in paths))
                self._rclone.delete_listed(self._rclone.crypt(), stream.name, len(paths))
        return list(paths)


def take_inventory(rclone: AsideRclone) -> Inventory:
    """List everything but ``daily/`` and what is in the histories, with one command."""
    within: Dict[str, List[str]] = {}
    for path in rclone.names_of_two_levels(without=DAILY_DIRECTORY):
        directory, _slash, name = path.partition("/")
        within.setdefault(directory, []).append(name)
    return Inventory(
        tuple(within.get(POINTS_DIRECTORY, ())),
        tuple(ids_of_manifests(within.get(MANIFESTS_DIRECTORY, ()))),
        tuple(_histories(within.get(HISTORY_DIRECTORY, ()))),
    )


def histories(rclone: Rclone) -> List[History]:
    """What was moved aside so far, oldest first."""
    return _histories(rclone.names(rclone.crypt(HISTORY_DIRECTORY)))


def _histories(names: Iterable[str]) -> List[History]:
    matches = (_HISTORY.fullmatch(name) for name in names)
    return sorted(History(match.group(1), int(match.group(2))) for match in matches if match)


def second_rclone(config: Config, runner: Runner, on_message: OnMessage = None) -> AsideRclone:
    """rclone for the second destination; :class:`ConfigError` when there is none."""
    if not config.second.enabled:
        raise ConfigError(
            "no second destination is configured",
            "Set lepotato_backup_second_path (a mounted disk) or lepotato_backup_second_remote and "
            "run site.yml",
        )
    settings = dataclasses.replace(
        config.rclone,
        raw_remote=config.second.raw_remote,
        crypt_remote=config.second.crypt_remote,
        transfers=min(config.rclone.transfers, TRANSFERS_MAX),
        checkers=min(config.rclone.checkers, TRANSFERS_MAX),
        # It limits the uplink, which a disk does not use.
        bandwidth_limit="" if config.second.path else config.rclone.bandwidth_limit,
    )
    return AsideRclone(settings, runner, on_message)


@contextlib.contextmanager
def writable_second(
    config: Config, runner: Runner, on_message: OnMessage = None
) -> Iterator[Tuple[AsideRclone, Traits]]:
    """The second destination, kept in its place while it is written to, and what it can do.

    Raises :class:`BackupError` when it is not there or can't be one; nothing is written then.
    """
    rclone = second_rclone(config, runner, on_message)
    if config.second.path:
        with held_disk(config.second.path, config.paths.ssd):
            yield rclone, DISK_TRAITS
        return
    traits = rclone.traits()
    if not traits.tells_case:
        raise BackupError(
            "lepotato_backup_second_remote does not tell upper from lower case, which encrypted "
            "names need",
            "Use another remote",
        )
    yield rclone, traits


def require_second(config: Config) -> None:
    """Raise :class:`BackupError` when the second destination's disk is not there to be read."""
    if config.second.path:
        require_disk(config.second.path, config.paths.ssd)


def sync_disk(config: Config, runner: Runner) -> None:
    """Wait until all that was written is on the second destination's disk: it may be unplugged
    at any time, and rclone does not wait."""
    if config.second.path and os.path.isdir(config.second.path):
        runner.run(["sync", "--file-system", config.second.path])
