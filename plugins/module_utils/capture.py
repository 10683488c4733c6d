# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture: every source into staging, each service down only for its own last changes.

Hot passes copy while everything runs. Then, group by group: dumps, hot passes over the group's
own paths until little is left, stop, one cold pass, start, wait until healthy. Whatever happens
between stop and start, the group is started again.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .capture_plan import Plan, PlannedGroup, make_plan
from .cold_prepare import Marks, note_files, prepare_cold, settle_writes
from .config import Config, Source
from .container_select import PlannedDump
from .container_sequence import (
    STEP_FORGET,
    STEP_READY,
    STEP_RECORD,
    STEP_START,
    STEP_STOP,
    Outcome,
    StopProgress,
    check_stayed_down,
    start_in_order,
    still_running,
    stop_in_order,
)
from .docker_api import DockerClient, DockerError
from .dumps import DUMPS_TREE, DumpResult, check_names, make_dump, prune_dumps
from .errors import BackupError, Interrupted
from .journal import Journal
from .manifest import CARRIER_DIRECTORY
from .rsync import RsyncStats, copy, literal_pattern
from .runner import Runner
from .shield import shielded
from .staged_paths import prune_unlisted
from .stopped_set import StoppedEntry, StoppedSet

STEP_PLAN = "plan"
STEP_HOT = "hot"
STEP_DUMP = "dump"
STEP_HOT_GROUP = "hot-group"
STEP_COLD = "cold"
STEP_CHECK = "check"

# In the order of a night; fault injection ends the program at each of them.
STEPS = (
    STEP_PLAN,
    STEP_HOT,
    STEP_DUMP,
    STEP_HOT_GROUP,
    STEP_RECORD,
    STEP_STOP,
    STEP_COLD,
    STEP_START,
    STEP_FORGET,
    STEP_READY,
    STEP_CHECK,
)

# A pass that copies more than this share of what the one before copied is not shrinking.
SHRINKING_RATIO = 0.8


@dataclass(frozen=True)
class GroupResult:
    """What the capture of one group did; containers by name, times in seconds.

    *hot* and *cold* are the passes over the group's own paths. *down_seconds* runs from the stop
    call to healthy (or running, without a health check); a container that did not come back is
    missing in it. *error* is "" unless the group's capture failed.
    """

    name: str
    stop_order: Tuple[str, ...] = ()
    start_order: Tuple[str, ...] = ()
    down_seconds: Mapping[str, float] = field(default_factory=dict)
    hot: RsyncStats = field(default_factory=RsyncStats)
    cold: RsyncStats = field(default_factory=RsyncStats)
    dumps: Tuple[DumpResult, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class CaptureResult:
    """What a capture did.

    *trees*: the first hot pass, by tree. *failed_groups*: what must fail the night, by group
    name. *not_back*: containers that did not come back, whose warning holds their last log lines:
    the copy is good all the same. *kept*: containers that were copied running, with the reason.
    """

    trees: Mapping[str, RsyncStats] = field(default_factory=dict)
    groups: Tuple[GroupResult, ...] = ()
    dumps: Tuple[DumpResult, ...] = ()
    warnings: Tuple[str, ...] = ()
    failed_groups: Mapping[str, str] = field(default_factory=dict)
    not_back: Tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def down_seconds(self) -> Dict[str, float]:
        """Seconds each container was down."""
        return {name: down for group in self.groups for name, down in group.down_seconds.items()}


def run_capture(
    config: Config,
    runner: Runner,
    journal: Journal,
    *,
    dry_run: bool = False,
    docker: Optional[DockerClient] = None,
) -> CaptureResult:
    """Copy all sources into ``STAGING/daily``; stop and start containers for it.

    With *dry_run* nothing is stopped, dumped or written, and the result's figures say what would
    be copied. Raises :class:`BackupError` when it fails before any group, and
    :class:`Interrupted`, both with all services up. A dump, a stop or a cold pass that failed is in
    the result's *failed_groups* and must fail the night. A container that does not come back is no
    failure of the copy: it is in *not_back* and *warnings*.
    """
    if config.containers.enabled and docker is None:
        docker = DockerClient(config.containers.socket)
    return _Capture(config, runner, journal, docker, dry_run).run()


def _copy(
    config: Config,
    runner: Runner,
    source: Source,
    paths: Sequence[str],
    *,
    hot: bool,
    dry_run: bool,
) -> RsyncStats:
    destination = os.path.join(config.paths.daily, source.tree)
    if not dry_run:
        os.makedirs(destination, exist_ok=True)
    return copy(
        runner,
        paths,
        destination,
        excludes=(*source.exclude, literal_pattern(config.paths.staging)),
        # While services are down, the copy is what they wait for.
        niceness=config.capture.niceness if hot else 0,
        may_vanish=hot,
        dry_run=dry_run,
    )


class _Capture:
    def __init__(
        self,
        config: Config,
        runner: Runner,
        journal: Journal,
        docker: Optional[DockerClient],
        dry_run: bool,
    ) -> None:
        self.config = config
        self.runner = runner
        self.journal = journal
        self.docker = docker
        self.dry_run = dry_run
        self.stopped = StoppedSet(config.paths.state)
        self.warnings: List[str] = []
        self.not_back: List[str] = []
        self.trees: Dict[str, RsyncStats] = {}
        self.began_ns = time.time_ns()

    def run(self) -> CaptureResult:
        self.journal.step(STEP_PLAN)
        plan = Plan() if self.docker is None else make_plan(self.config, self.docker)
        self._announce(plan)
        self._hot()
        groups: List[GroupResult] = []
        failed: Dict[str, str] = {}
        dumps: List[DumpResult] = []
        if self.dry_run or self.docker is None:
            return self._result(plan, groups, dumps, failed)
        try:
            dumps = self._dumps(self.docker, plan.dumps)
            for group in plan.groups:
                # After a failure the night is lost: the other services are left in peace.
                if failed:
                    self._warn(f"group {group.name} was not captured: the night failed before it")
                    continue
                captured = self._group(self.docker, group)
                groups.append(captured)
                if captured.error:
                    failed[group.name] = captured.error
        except Interrupted:
            raise
        except BackupError as error:
            failed[DUMPS_TREE] = str(error)
        self._last_look(self.docker, plan)
        if not failed:
            planned = [*plan.dumps, *(dump for group in plan.groups for dump in group.dumps)]
            for path in prune_dumps(planned, self.config.paths.staging):
                self.journal.info(f"removed the old dump {path}: it is not made any more")
        return self._result(plan, groups, dumps, failed)

    def _announce(self, plan: Plan) -> None:
        check_names([*plan.dumps, *(dump for group in plan.groups for dump in group.dumps)])
        verb = "would stop" if self.dry_run else "will stop"
        for group in plan.groups:
            members = ", ".join(member.name for member in group.members)
            paths = ", ".join(path for paths in group.paths.values() for path in paths)
            self.journal.info(f"group {group.name}: {verb} {members} for {paths or 'no path'}")
        for container, reason in plan.kept:
            self.journal.info(f"{container.name} keeps running: {reason}")
        for warning in plan.warnings:
            self._warn(warning)

    def _hot(self) -> None:
        present = {source.tree: self._present(source) for source in self.config.sources}
        if not self.dry_run:
            settle_writes()
            for path in prune_unlisted(
                self.config.paths.daily,
                {source.tree: source.paths for source in self.config.sources},
                (DUMPS_TREE, os.fsdecode(CARRIER_DIRECTORY)),
            ):
                self.journal.info(f"removed {path} from staging: it is not a source any more")
        for source in self.config.sources:
            if not present[source.tree]:
                continue
            self.journal.step(STEP_HOT)
            stats = self._copy(source, present[source.tree], hot=True)
            self.trees[source.tree] = stats
            self.journal.info(
                f"{source.tree}: {stats.files_transferred} of {stats.files} files, "
                f"{stats.bytes_transferred} bytes copied hot"
            )

    def _present(self, source: Source) -> Tuple[str, ...]:
        found = tuple(path for path in source.paths if os.path.lexists(path))
        for path in source.paths:
            if path in found:
                continue
            if source.required:
                raise BackupError(
                    f"the source {path} (tree {source.tree}) does not exist",
                    "Is the SSD mounted? See the sources in config.json",
                )
            self.journal.info(f"{source.tree}: {path} does not exist, and need not")
        return found

    def _copy(self, source: Source, paths: Sequence[str], *, hot: bool) -> RsyncStats:
        return _copy(self.config, self.runner, source, paths, hot=hot, dry_run=self.dry_run)

    def _copy_group(self, group: PlannedGroup, *, hot: bool) -> RsyncStats:
        stats = RsyncStats()
        for source in self.config.sources:
            paths = [path for path in group.paths.get(source.tree, ()) if os.path.lexists(path)]
            if paths:
                stats = stats.plus(self._copy(source, paths, hot=hot))
        return stats

    def _dumps(self, docker: DockerClient, planned: Sequence[PlannedDump]) -> List[DumpResult]:
        made = []
        for item in planned:
            self.journal.step(STEP_DUMP)
            result = make_dump(docker, item, self.config.paths.staging)
            self.journal.info(
                f"dump {result.path}: {result.size_bytes} bytes in {result.seconds:.1f} s"
            )
            made.append(result)
        return made

    def _hot_group(self, group: PlannedGroup) -> Tuple[RsyncStats, Dict[str, Marks]]:
        """Passes over the group's own paths until the next one would copy little."""
        total = RsyncStats()
        before: Optional[int] = None
        pass_began_ns = self.began_ns
        # The pass over all sources was the first.
        for _number in range(self.config.capture.hot_passes_max - 1):
            self.journal.step(STEP_HOT_GROUP)
            pass_began_ns = time.time_ns()
            settle_writes()
            stats = self._copy_group(group, hot=True)
            total = total.plus(stats)
            copied = stats.bytes_transferred
            if copied <= self.config.capture.hot_delta_small_bytes:
                break
            if before is not None and copied > before * SHRINKING_RATIO:
                self.journal.info(
                    f"group {group.name}: {copied} bytes change during a pass; no use in another"
                )
                break
            before = copied
        noted = {tree: note_files(paths, pass_began_ns) for tree, paths in group.paths.items()}
        return total, noted

    def _cold(self, group: PlannedGroup, marks: Mapping[str, Marks]) -> RsyncStats:
        try:
            for tree, noted in marks.items():
                prepared = prepare_cold(noted, os.path.join(self.config.paths.daily, tree))
                if prepared.cloned:
                    self.journal.info(
                        f"group {group.name}: cloned {prepared.cloned} large files, "
                        f"{prepared.cloned_bytes} bytes"
                    )
        except OSError as error:
            raise BackupError(f"the cold pass failed: {error}") from error
        return self._copy_group(group, hot=False)

    def _group(self, docker: DockerClient, group: PlannedGroup) -> GroupResult:
        result = GroupResult(group.name, tuple(member.name for member in group.members))
        try:
            dumps = tuple(self._dumps(docker, group.dumps))
            hot, marks = self._hot_group(group)
        except Interrupted:
            raise
        except (BackupError, OSError) as error:
            self.journal.warning(f"group {group.name} was not stopped: {error}")
            return dataclasses.replace(result, error=str(error))
        cold, began, outcomes, failure = self._stop_copy_start(docker, group, marks)
        down = {
            item.entry.name: item.ready_at_seconds - began[item.entry.id]
            for item in outcomes
            if item.ready and item.entry.id in began
        }
        for name, seconds in down.items():
            self.journal.info(f"{name} was down for {seconds:.1f} s")
        return dataclasses.replace(
            result,
            start_order=tuple(item.entry.name for item in outcomes),
            down_seconds=down,
            hot=hot,
            cold=cold,
            dumps=dumps,
            error=failure,
        )

    def _stop_copy_start(
        self, docker: DockerClient, group: PlannedGroup, marks: Mapping[str, Marks]
    ) -> Tuple[RsyncStats, Dict[str, float], List[Outcome], str]:
        timeouts = group.timeouts_seconds
        entries: List[StoppedEntry] = []
        cold = RsyncStats()
        outcomes: List[Outcome] = []
        failure = ""
        progress = StopProgress()
        with shielded() as shield:
            try:
                entries = still_running(docker, group.entries())
                stop_in_order(
                    docker, self.stopped, entries, timeouts, self.journal, shield, progress
                )
                self.journal.step(STEP_COLD)
                with shield.interruptible():
                    cold = self._cold(group, marks)
                limit_seconds = self.config.containers.start_timeout_seconds
                for warning in check_stayed_down(docker, entries, timeouts, limit_seconds):
                    self._warn(warning)
            except Interrupted:
                raise
            except BackupError as error:
                failure = str(error)
                self.journal.warning(f"group {group.name}: {failure}")
            finally:
                outcomes = start_in_order(
                    docker,
                    self.stopped,
                    entries,
                    self.config.containers.start_timeout_seconds,
                    self.journal,
                    stop_broke_off=progress.under_way,
                )
        for outcome in outcomes:
            if outcome.warning:
                self.warnings.append(outcome.warning)
                self.not_back.append(outcome.entry.name)
        return cold, progress.began_seconds, outcomes, failure

    def _last_look(self, docker: DockerClient, plan: Plan) -> None:
        """Containers that came back and fell over again while the others were captured."""
        self.journal.step(STEP_CHECK)
        for group in plan.groups:
            for member in group.members:
                if member.name in self.not_back or member.looping:
                    continue
                try:
                    state = docker.inspect(member.id)["State"]
                    fallen = not state["Running"] or state["Restarting"]
                except DockerError as error:
                    self._warn(f"container {member.name} can't be looked at: {error.message}")
                    continue
                if fallen:
                    tail = docker.logs_tail(member.id, 20)
                    self._warn(
                        f"container {member.name} came back and ended again "
                        f"(exit code {state['ExitCode']}); its last lines:\n{tail}"
                    )
                    self.not_back.append(member.name)

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        self.journal.warning(message)

    def _result(
        self,
        plan: Plan,
        groups: Sequence[GroupResult],
        dumps: Sequence[DumpResult],
        failed: Mapping[str, str],
    ) -> CaptureResult:
        return CaptureResult(
            trees=self.trees,
            groups=tuple(groups),
            dumps=tuple(dumps),
            warnings=tuple(self.warnings),
            failed_groups=failed,
            not_back=tuple(self.not_back),
            kept={item.container.name: item.reason for item in plan.kept},
        )
