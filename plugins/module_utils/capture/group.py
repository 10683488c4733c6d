# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture one group: dumps, hot passes, stop, cold pass, start, wait until healthy.

Where snapshots can be had (:mod:`.cold_snapshot`), the cold pass is one while the group is
down, and rsync walks after the start. Elsewhere it walks before the start. Whatever happens between
stop and start, the group is started again.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.paths import is_below
from ..base.printable import printable
from ..config.schema import Config
from ..docker.engine import DockerClient
from ..docker.stop_choice import PlannedDump
from ..docker.stop_start import (
    Outcome,
    StopProgress,
    check_stayed_down,
    start_in_order,
    still_running,
    stop_in_order,
)
from ..docker.stopped_set import StoppedEntry, StoppedSet
from ..process.runner import Runner
from ..process.signal_shield import Shield, shielded
from .absent_mounts import absent_mounts
from .cold_snapshot import ColdSnapshots, prepare_snapshots
from .copy import copy_source
from .dumps import DumpResult, make_dump
from .hot_passes import repeat_hot_passes
from .plan import PlannedGroup
from .rsync import RsyncStats
from .settle_writes import Marks, note_files, prepare_cold

STEP_DUMP = "dump"
STEP_COLD = "cold"

# Only where snapshots can be had: the first comes after STEP_COLD, the others after STEP_READY.
STEP_SNAPSHOT = "cold-snapshot"
STEP_SNAPSHOT_COPY = "cold-copy"
STEP_SNAPSHOT_DROP = "cold-drop"
SNAPSHOT_STEPS = (STEP_SNAPSHOT, STEP_SNAPSHOT_COPY, STEP_SNAPSHOT_DROP)

Paths = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class GroupResult:
    """What the capture of one group did; containers by name, times in seconds.

    *hot* and *cold* are the passes over the group's own paths; *from_snapshot*: the cold one, or
    part of it, was made from a snapshot while the group ran again. *down_seconds* runs from the
    stop call to healthy (or running, without a health check); a container that did not come back
    is missing in it and one of *not_back*. *error* is "" unless the group's capture failed.
    """

    name: str
    stop_order: Tuple[str, ...] = ()
    start_order: Tuple[str, ...] = ()
    down_seconds: Mapping[str, float] = field(default_factory=dict)
    hot: RsyncStats = field(default_factory=RsyncStats)
    cold: RsyncStats = field(default_factory=RsyncStats)
    from_snapshot: bool = False
    dumps: Tuple[DumpResult, ...] = ()
    warnings: Tuple[str, ...] = ()
    not_back: Tuple[str, ...] = ()
    error: str = ""


@dataclass
class _ColdPass:
    """What is known of a cold pass under way."""

    began_seconds: Mapping[str, float] = field(default_factory=dict)
    outcomes: Sequence[Outcome] = ()
    copied: RsyncStats = field(default_factory=RsyncStats)
    from_snapshot: bool = False
    failure: str = ""


def make_dumps(
    docker: DockerClient, planned: Sequence[PlannedDump], staging: str, journal: Journal
) -> Tuple[DumpResult, ...]:
    """Make each of *planned*; raises :class:`BackupError` for the first that fails."""
    made = []
    for item in planned:
        journal.step(STEP_DUMP)
        result = make_dump(docker, item, staging)
        journal.info(f"dump {result.path}: {result.size_bytes} bytes in {result.seconds:.1f} s")
        made.append(result)
    return tuple(made)


def capture_group(
    config: Config,
    runner: Runner,
    journal: Journal,
    docker: DockerClient,
    group: PlannedGroup,
    all_hot_began_ns: int,
    expected: Sequence[str] = (),
) -> GroupResult:
    """Capture *group*, whose paths were copied hot by a pass that began at *all_hot_began_ns*.

    *expected* are the mounts that may go away with it (:mod:`.absent_mounts`). Raises
    :class:`Interrupted`; the group runs then. Any other failure is in the result's *error*.
    """
    return _GroupCapture(config, runner, journal, docker, group, expected).run(all_hot_began_ns)


class _GroupCapture:
    def __init__(
        self,
        config: Config,
        runner: Runner,
        journal: Journal,
        docker: DockerClient,
        group: PlannedGroup,
        expected: Sequence[str],
    ) -> None:
        self.expected = expected
        self.config = config
        self.runner = runner
        self.journal = journal
        self.docker = docker
        self.group = group
        self.stopped = StoppedSet(config.paths.state)
        self.snapshots = ColdSnapshots(config.paths.staging)
        self.warnings: List[str] = []

    def run(self, all_hot_began_ns: int) -> GroupResult:
        group = self.group
        result = GroupResult(group.name, tuple(member.name for member in group.members))
        try:
            dumps = make_dumps(self.docker, group.dumps, self.config.paths.staging, self.journal)
            hot, marks = self._hot(all_hot_began_ns)
            can_snapshot = self._prepare_snapshots()
        except (BackupError, OSError) as error:
            self.journal.warning(f"group {group.name} was not stopped: {error}")
            return dataclasses.replace(result, error=str(error))
        try:
            done = self._stop_copy_start(marks, can_snapshot)
            down = self._down_seconds(done)
            if self.snapshots.paths and not done.failure:
                self._copy_from_snapshots(done, marks)
        finally:
            self._drop_snapshots()
        return dataclasses.replace(
            result,
            start_order=tuple(item.entry.name for item in done.outcomes),
            down_seconds=down,
            hot=hot,
            cold=done.copied,
            from_snapshot=done.from_snapshot,
            dumps=dumps,
            warnings=(*self.warnings, *(item.warning for item in done.outcomes if item.warning)),
            not_back=tuple(item.entry.name for item in done.outcomes if item.warning),
            error=done.failure,
        )

    def _hot(self, pass_began_ns: int) -> Tuple[RsyncStats, Dict[str, Marks]]:
        """Passes over the group's own paths until the next one would copy little."""
        total, began_ns = repeat_hot_passes(
            lambda: self._copy(self.group.paths, hot=True),
            pass_began_ns,
            self.config.capture,
            self.journal,
            self.group.name,
        )
        noted = {tree: note_files(paths, began_ns) for tree, paths in self.group.paths.items()}
        return total, noted

    def _prepare_snapshots(self) -> bool:
        paths = [path for paths in self.group.paths.values() for path in paths]
        prepared, reasons = prepare_snapshots(paths, self.config.paths.staging, self.runner)
        for reason in reasons:
            self.journal.info(f"group {self.group.name}: copied while it is down, {reason}")
        return prepared

    def _stop_copy_start(self, marks: Mapping[str, Marks], can_snapshot: bool) -> _ColdPass:
        timeouts = self.group.timeouts_seconds
        limit_seconds = self.config.containers.start_timeout_seconds
        entries: List[StoppedEntry] = []
        progress = StopProgress()
        done = _ColdPass(progress.began_seconds)
        with shielded() as shield:
            try:
                entries = still_running(self.docker, self.group.entries())
                stop_in_order(
                    self.docker, self.stopped, entries, timeouts, self.journal, shield, progress
                )
                self.journal.step(STEP_COLD)
                self._copy_while_down(done, marks, can_snapshot, shield)
                for warning in check_stayed_down(self.docker, entries, timeouts, limit_seconds):
                    self._warn(warning)
            except BackupError as error:
                done.failure = str(error)
                self.journal.warning(f"group {self.group.name}: {done.failure}")
            finally:
                done.outcomes = start_in_order(
                    self.docker,
                    self.stopped,
                    entries,
                    limit_seconds,
                    self.journal,
                    stop_broke_off=progress.under_way,
                )
        return done

    def _copy_while_down(
        self, done: _ColdPass, marks: Mapping[str, Marks], can_snapshot: bool, shield: Shield
    ) -> None:
        with shield.interruptible():
            if can_snapshot:
                self._take_snapshots()
            walked = self._paths(in_snapshots=False)
            self._prepare(walked, marks)
            done.copied = self._copy(walked, hot=False)

    def _take_snapshots(self) -> None:
        self.journal.step(STEP_SNAPSHOT)
        began = time.monotonic()
        try:
            self.snapshots.take(path for paths in self.group.paths.values() for path in paths)
        except OSError as error:
            self.journal.info(
                f"group {self.group.name}: copied while it is down, no snapshot: {error.strerror}"
            )
            return
        self.journal.info(
            f"group {self.group.name}: {len(self.snapshots.paths)} paths are in snapshots "
            f"after {time.monotonic() - began:.2f} s and are copied after the start"
        )

    def _copy_from_snapshots(self, done: _ColdPass, marks: Mapping[str, Marks]) -> None:
        self.journal.step(STEP_SNAPSHOT_COPY)
        frozen = self._paths(in_snapshots=True)
        done.from_snapshot = True
        try:
            self._prepare(frozen, marks)
            done.copied = done.copied.plus(self._copy(frozen, hot=False, from_snapshots=True))
        except BackupError as error:
            done.failure = str(error)
            self.journal.warning(f"group {self.group.name}: {done.failure}")

    def _drop_snapshots(self) -> None:
        if self.snapshots.is_empty:
            return
        try:
            self.journal.step(STEP_SNAPSHOT_DROP)
        finally:
            for problem in self.snapshots.drop():
                self._warn(f"{problem}; the next run tries again")

    def _paths(self, *, in_snapshots: bool) -> Dict[str, List[str]]:
        """The group's paths that are, or are not, in snapshots."""
        frozen = self.snapshots.paths
        return {
            tree: [path for path in paths if (path in frozen) == in_snapshots]
            for tree, paths in self.group.paths.items()
        }

    def _prepare(self, paths: Paths, marks: Mapping[str, Marks]) -> None:
        try:
            for tree, some in paths.items():
                staged = os.path.join(self.config.paths.daily, tree)
                prepared = prepare_cold(marks[tree].of(some), staged, self.snapshots.where)
                if prepared.cloned:
                    self.journal.info(
                        f"group {self.group.name}: cloned {prepared.cloned} large files, "
                        f"{prepared.cloned_bytes} bytes"
                    )
        except OSError as error:
            raise BackupError(f"the cold pass failed: {error}") from error

    def _copy(self, paths: Paths, *, hot: bool, from_snapshots: bool = False) -> RsyncStats:
        stats = RsyncStats()
        absent = absent_mounts(self.expected)
        for source in self.config.sources:
            found = [
                path
                for path in paths.get(source.tree, ())
                if os.path.lexists(self.snapshots.where(path))
                and not any(is_below(path, place) for place in absent)
            ]
            if found:
                stats = stats.plus(
                    copy_source(
                        self.config,
                        self.runner,
                        source,
                        found,
                        may_vanish=hot,
                        services_wait=not hot and not from_snapshots,
                        prefix=self.snapshots.command_prefix() if from_snapshots else (),
                        absent=absent,
                    )
                )
        if stats.vanished and not hot:
            names = ", ".join(printable(name) for name in stats.vanished_names)
            self._warn(
                f"group {self.group.name}: files went away while they were copied, though its "
                f"containers are stopped ({names}): what else writes there?"
            )
        return stats

    def _down_seconds(self, done: _ColdPass) -> Dict[str, float]:
        down = {
            item.entry.name: item.ready_at_seconds - done.began_seconds[item.entry.id]
            for item in done.outcomes
            if item.ready and item.entry.id in done.began_seconds
        }
        for name, seconds in down.items():
            self.journal.info(f"{name} was down for {seconds:.1f} s")
        return down

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        self.journal.warning(message)
