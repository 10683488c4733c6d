# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture: every source into staging, each service down only for its own last changes.

Hot passes copy while everything runs. Then, group by group: dumps, hot passes over the group's
own paths until little is left, stop, one cold pass, start, wait until healthy
(:mod:`.group`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.progress import human_bytes
from ..config.schema import Config, Source
from ..docker.engine import DockerClient, DockerError
from ..docker.stop_start import STEP_FORGET, STEP_READY, STEP_RECORD, STEP_START, STEP_STOP
from ..filesystem.mounts import read_mounts
from ..manifest.model import CARRIER_DIRECTORY
from ..process.runner import Runner
from ..staging.trees import prune_unlisted
from .absent_mounts import absent_mounts, expected_mounts
from .copy import copy_source
from .dumps import DUMPS_TREE, DumpResult, check_names, prune_dumps
from .group import STEP_COLD, STEP_DUMP, GroupResult, capture_group, make_dumps
from .hot_passes import STEP_HOT_GROUP
from .plan import Plan, make_plan
from .rsync import RsyncStats
from .settle_writes import settle_writes

STEP_PLAN = "plan"
STEP_HOT = "hot"
STEP_CHECK = "check"

# In the order of a night; fault injection ends the program at each of them, and at those of
# capture_group.SNAPSHOT_STEPS where the file system has snapshots.
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

    @property
    def copied(self) -> RsyncStats:
        """The first hot pass over all trees together."""
        total = RsyncStats()
        for stats in self.trees.values():
            total = total.plus(stats)
        return total

    def told(self) -> Dict[str, Any]:
        """What the capture did, for the run record; times in seconds."""
        return {
            "trees": {
                tree: {"files": stats.files_transferred, "bytes": stats.bytes_transferred}
                for tree, stats in self.trees.items()
            },
            "groups": [
                {
                    "name": group.name,
                    "stopped": list(group.stop_order),
                    "started": list(group.start_order),
                    "down_seconds": {
                        name: round(seconds, 2) for name, seconds in group.down_seconds.items()
                    },
                    "cold_files": group.cold.files_transferred,
                    "cold_bytes": group.cold.bytes_transferred,
                    "from_snapshot": group.from_snapshot,
                    "error": group.error,
                }
                for group in self.groups
            ],
            "kept_running": dict(self.kept),
            "not_back": list(self.not_back),
        }


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
        self.warnings: List[str] = []
        self.not_back: List[str] = []
        self.trees: Dict[str, RsyncStats] = {}
        self.began_ns = time.time_ns()
        self.expected: Sequence[str] = ()

    def run(self) -> CaptureResult:
        self.journal.step(STEP_PLAN)
        plan = Plan() if self.docker is None else make_plan(self.config, self.docker)
        self._announce(plan)
        self.expected = expected_mounts(
            [path for source in self.config.sources for path in source.paths],
            read_mounts(),
            [] if self.docker is None else self.docker.volumes(),
        )
        self._hot()
        groups: List[GroupResult] = []
        failed: Dict[str, str] = {}
        dumps: Tuple[DumpResult, ...] = ()
        if self.dry_run or self.docker is None:
            return self._result(plan, groups, dumps, failed)
        try:
            dumps = make_dumps(self.docker, plan.dumps, self.config.paths.staging, self.journal)
            for group in plan.groups:
                # After a failure the night is lost: the other services are left in peace.
                if failed:
                    self._warn(f"group {group.name} was not captured: the night failed before it")
                    continue
                captured = capture_group(
                    self.config,
                    self.runner,
                    self.journal,
                    self.docker,
                    group,
                    self.began_ns,
                    self.expected,
                )
                groups.append(captured)
                self.warnings += captured.warnings
                self.not_back += captured.not_back
                if captured.error:
                    failed[group.name] = captured.error
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
        absent = absent_mounts(self.expected)
        for path in absent:
            self.journal.info(f"{path} is not mounted now: what is staged of it stays")
        removed = "would remove" if self.dry_run else "removed"
        for path in prune_unlisted(
            self.config.paths.daily,
            {source.tree: source.paths for source in self.config.sources},
            (DUMPS_TREE, os.fsdecode(CARRIER_DIRECTORY)),
            dry_run=self.dry_run,
        ):
            self.journal.info(f"{removed} {path} from staging: it is not a source any more")
        for source in self.config.sources:
            if not present[source.tree]:
                continue
            self.journal.step(STEP_HOT)
            stats = copy_source(
                self.config,
                self.runner,
                source,
                present[source.tree],
                may_vanish=True,
                dry_run=self.dry_run,
                absent=absent,
            )
            self.trees[source.tree] = stats
            self._tell_hot(source.tree, stats)

    def _tell_hot(self, tree: str, stats: RsyncStats) -> None:
        copied, removed = ("would copy", "remove") if self.dry_run else ("copied", "removed")
        gone = f", and {removed} {stats.files_deleted} from staging" if stats.files_deleted else ""
        self.journal.info(
            f"{tree}: {copied} {stats.files_transferred} of {stats.files_regular} files, "
            f"{human_bytes(stats.bytes_transferred)}{gone}, while services run"
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
