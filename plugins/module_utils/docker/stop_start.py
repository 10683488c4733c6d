# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop containers in order and start them again, whatever happens in between.

The set of what is stopped is on disk before the first stop (:mod:`.stopped_set`). Starting
never raises for what one container does: the others are started all the same, and the
outcome says what is wrong.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..process.signal_shield import Shield, shielded
from .container import (
    ACTIVE_STATES,
    NUMBER_LABEL,
    ONEOFF_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    is_unhealthy,
)
from .engine import DockerClient, DockerError, DockerUnreachable, NoSuchContainer
from .health import wait_until_ready
from .stopped_set import StoppedEntry, StoppedSet, stop_may_be_under_way

STEP_RECORD = "record"
STEP_STOP = "stop"
STEP_START = "start"
STEP_READY = "ready"
STEP_FORGET = "forget"

# What a recovery comes to.
RECOVER_STEPS = (STEP_START, STEP_FORGET, STEP_READY)

LOG_TAIL_LINES = 20

# A start can fail for a moment: the old network sandbox or port is still being taken down.
START_TRIES = 3
START_RETRY_SECONDS = 1.0

UNDER_WAY_POLL_SECONDS = 0.1

# What the engine reports for a process that it had to kill: 128 + SIGKILL.
KILLED_EXIT_CODE = 137


class Outcome(NamedTuple):
    """How starting one container ended.

    *started*: it was started, or ran already. *ready_at_seconds* is on the monotonic clock.
    *problem* is one sentence, "" when it is healthy (or runs, without a health check), and
    *log_tail* its last lines then. *gone*: it does not exist any more. *container_id* is not the
    entry's where compose created the container anew.
    """

    entry: StoppedEntry
    container_id: str
    started: bool
    ready: bool
    ready_at_seconds: float
    problem: str = ""
    log_tail: str = ""
    gone: bool = False
    was_running: bool = False

    @property
    def warning(self) -> str:
        """The problem with the container's last log lines, "" without a problem."""
        if not self.problem:
            return ""
        tail = f"; its last lines:\n{self.log_tail}" if self.log_tail else ""
        return f"container {self.entry.name} {self.problem}{tail}"


@dataclass(frozen=True)
class RecoverResult:
    """What a recovery found and did; the tuples hold container names."""

    started: Tuple[str, ...] = ()
    already_running: Tuple[str, ...] = ()
    gone: Tuple[str, ...] = ()
    failed: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    outcomes: Tuple[Outcome, ...] = ()


def still_running(docker: DockerClient, entries: Sequence[StoppedEntry]) -> List[StoppedEntry]:
    """*entries* as the engine sees them now, without those that somebody stopped meanwhile.

    Raises :class:`BackupError` for one that was removed: another may run in its place, and would
    write while we copy.
    """
    found = []
    for entry in entries:
        try:
            state = docker.inspect(entry.id)["State"]
        except NoSuchContainer:
            raise BackupError(
                f"container {entry.name} was removed or created anew since the run began",
                "Run the backup again once it is in place",
            ) from None
        if state["Status"] in ACTIVE_STATES:
            found.append(
                dataclasses.replace(
                    entry, started_at=state["StartedAt"], was_unhealthy=is_unhealthy(state)
                )
            )
    return found


@dataclass
class StopProgress:
    """How far :func:`stop_in_order` came, also when it raised.

    *began_seconds*: the monotonic time at which each container's stop began, by ID.
    *under_way*: a stop was asked for and the engine did not say that it is done.
    """

    began_seconds: Dict[str, float] = field(default_factory=dict)
    under_way: bool = False


def stop_in_order(
    docker: DockerClient,
    stopped: StoppedSet,
    entries: Sequence[StoppedEntry],
    timeouts_seconds: Mapping[str, int],
    journal: Journal,
    shield: Shield,
    progress: StopProgress,
) -> None:
    """List *entries* on disk, then stop them one after the other.

    A signal that came in raises between two stops, never inside one: a stop that is under way
    while we start the container again would win.
    """
    journal.step(STEP_RECORD)
    stopped.add(entries)
    for entry in entries:
        shield.check()
        journal.step(STEP_STOP)
        began = time.monotonic()
        progress.began_seconds[entry.id] = began
        progress.under_way = True
        docker.stop(entry.id, timeouts_seconds[entry.id])
        progress.under_way = False
        journal.info(f"stopped {entry.name} in {time.monotonic() - began:.1f} s")


def check_stayed_down(
    docker: DockerClient,
    entries: Sequence[StoppedEntry],
    timeouts_seconds: Mapping[str, int],
    engine_timeout_seconds: float,
) -> List[str]:
    """Make sure that nothing ran while it was copied; return warnings.

    Raises :class:`BackupError` when a container came up by itself (the engine restarted, or
    somebody started it): its cold copy is none. Warns of one that had to be killed. An engine that
    is just restarting is waited for.
    """
    docker.wait_until_reachable(engine_timeout_seconds)
    warnings = []
    for entry in entries:
        try:
            state = docker.inspect(entry.id)["State"]
        except NoSuchContainer:
            warnings.append(f"container {entry.name} was removed while it was stopped")
            continue
        restarted = state["StartedAt"] != entry.started_at and not entry.was_looping
        if state["Running"] or restarted:
            raise BackupError(
                f"container {entry.name} came up by itself while it was copied",
                "Did Docker restart, or somebody start it? The next night copies it again",
            )
        if state["ExitCode"] == KILLED_EXIT_CODE and not entry.was_looping:
            warnings.append(
                f"container {entry.name} did not stop within {timeouts_seconds[entry.id]} s and "
                "was killed: give it more time (label lepotato.backup.stop-timeout)"
            )
    return warnings


def start_in_order(
    docker: DockerClient,
    stopped: StoppedSet,
    entries: Sequence[StoppedEntry],
    start_timeout_seconds: float,
    journal: Journal,
    *,
    stop_broke_off: bool,
) -> List[Outcome]:
    """Start *entries* (given in stop order), dependencies first, and wait until they are ready.

    A container waits for what it needs, not for the others; one that does not get ready within
    *start_timeout_seconds* holds up nothing longer. With *stop_broke_off*, a stop of the first
    one that still runs may be under way and is waited for. Call it inside
    :func:`..process.signal_shield.shielded`. Never raises for containers or the engine.
    """
    if stop_broke_off:
        _wait_for_stop(docker, entries, start_timeout_seconds)
    begun: Dict[str, Outcome] = {}
    done: Dict[str, Outcome] = {}
    order = list(reversed(entries))
    for entry in order:
        for need in order:
            if need.id in entry.needs and need.id in begun and need.id not in done:
                done[need.id] = _ready(docker, begun[need.id], start_timeout_seconds, journal)
        begun[entry.id] = _start(docker, entry, start_timeout_seconds, journal)
        if begun[entry.id].started or begun[entry.id].gone:
            _forget(stopped, entry, journal)
    for entry in order:
        if entry.id not in done:
            done[entry.id] = _ready(docker, begun[entry.id], start_timeout_seconds, journal)
    return [done[entry.id] for entry in order]


def recover(
    stopped: StoppedSet,
    docker: DockerClient,
    journal: Journal,
    *,
    start_timeout_seconds: float,
) -> RecoverResult:
    """Start exactly what earlier runs stopped and did not start again.

    Without such containers the engine is not asked. Waits for an engine that is just
    starting (boot). Raises :class:`BackupError` when the set can't be read or the engine does
    not answer; the set stays as it is then.
    """
    if not stopped.entries():
        return RecoverResult()
    with shielded():
        docker.wait_until_reachable(start_timeout_seconds)
        entries = stopped.entries()
        names = ", ".join(entry.name for entry in entries)
        journal.warning(f"an earlier run left containers to start: {names}")
        outcomes = start_in_order(
            docker, stopped, entries, start_timeout_seconds, journal, stop_broke_off=True
        )
    return RecoverResult(
        started=_names(item for item in outcomes if item.started and not item.was_running),
        already_running=_names(item for item in outcomes if item.was_running),
        gone=_names(item for item in outcomes if item.gone),
        failed=_names(item for item in outcomes if not item.started and not item.gone),
        warnings=tuple(item.warning for item in outcomes if item.problem),
        outcomes=tuple(outcomes),
    )


def _names(outcomes: Iterable[Outcome]) -> Tuple[str, ...]:
    return tuple(item.entry.name for item in outcomes)


def _wait_for_stop(
    docker: DockerClient, entries: Sequence[StoppedEntry], engine_timeout_seconds: float
) -> None:
    """Wait until a stop that nobody waits for any more has taken effect.

    Stops go one after the other, so only the first container that still runs can have one under
    way. A container that was started since is past it.
    """
    for entry in entries:
        while stop_may_be_under_way(entry):
            try:
                state = docker.inspect(entry.id)["State"]
            except DockerUnreachable:
                _reach(docker, engine_timeout_seconds)
                return
            except DockerError:
                break
            if not state["Running"] or state["StartedAt"] != entry.started_at:
                break
            time.sleep(UNDER_WAY_POLL_SECONDS)
        else:
            return


def _reach(docker: DockerClient, timeout_seconds: float) -> None:
    try:
        docker.wait_until_reachable(timeout_seconds)
    except DockerUnreachable:
        # Each start says so for its own container.
        return


def _start(
    docker: DockerClient, entry: StoppedEntry, engine_timeout_seconds: float, journal: Journal
) -> Outcome:
    journal.step(STEP_START)
    problem = ""
    for attempt in range(START_TRIES):
        if attempt:
            time.sleep(START_RETRY_SECONDS)
        try:
            target = _find(docker, entry)
            if target is None:
                problem = "does not exist any more: nothing to start"
                return Outcome(entry, entry.id, False, False, time.monotonic(), problem, gone=True)
            was_running = docker.inspect(target)["State"]["Running"]
            if not was_running:
                docker.start(target)
                journal.info(f"started {entry.name}")
            now = time.monotonic()
            return Outcome(entry, target, True, False, now, was_running=was_running)
        except DockerUnreachable as error:
            problem = f"can't be started: {error.message}"
            _reach(docker, engine_timeout_seconds)
        except DockerError as error:
            problem = f"can't be started: {error.message}"
    return Outcome(
        entry,
        entry.id,
        False,
        False,
        time.monotonic(),
        problem,
        docker.logs_tail(entry.id, LOG_TAIL_LINES),
    )


def _find(docker: DockerClient, entry: StoppedEntry) -> Optional[str]:
    """The ID of the container now: compose may have created it anew meanwhile."""
    try:
        docker.inspect(entry.id)
        return entry.id
    except NoSuchContainer:
        pass
    same_name = None
    for raw in docker.inspect_all():
        labels = raw["Config"].get("Labels") or {}
        if (
            entry.project
            and labels.get(PROJECT_LABEL) == entry.project
            and labels.get(SERVICE_LABEL) == entry.service
            and labels.get(NUMBER_LABEL, "") == entry.number
            and labels.get(ONEOFF_LABEL, "False").lower() != "true"
        ):
            return str(raw["Id"])
        if raw["Name"].lstrip("/") == entry.name:
            same_name = str(raw["Id"])
    return same_name


def _ready(
    docker: DockerClient, outcome: Outcome, timeout_seconds: float, journal: Journal
) -> Outcome:
    if not outcome.started:
        journal.warning(outcome.warning)
        return outcome
    journal.step(STEP_READY)
    entry = outcome.entry
    if entry.was_looping:
        # It did not get ready before the stop either.
        return outcome._replace(ready=True, ready_at_seconds=time.monotonic())
    readiness = wait_until_ready(
        docker, outcome.container_id, timeout_seconds, healthy=not entry.was_unhealthy
    )
    if entry.was_unhealthy and readiness.ready:
        journal.info(
            f"{entry.name} runs; it was unhealthy before, and its health is not waited for"
        )
    outcome = outcome._replace(ready=readiness.ready, ready_at_seconds=time.monotonic())
    if readiness.ready:
        return outcome
    outcome = outcome._replace(
        problem=f"did not come back: it {readiness.problem}",
        log_tail=docker.logs_tail(outcome.container_id, LOG_TAIL_LINES),
    )
    journal.warning(outcome.warning)
    return outcome


def _forget(stopped: StoppedSet, entry: StoppedEntry, journal: Journal) -> None:
    journal.step(STEP_FORGET)
    try:
        stopped.remove([entry.id])
    except BackupError as error:
        # The others are still to be started; the next run finds this one running.
        journal.warning(str(error))
