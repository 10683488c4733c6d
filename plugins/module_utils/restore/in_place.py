# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put restored data in place of live data: stop, rename, start, and back when it is not good.

The containers concerned are down for the renames only. The set of what was stopped and the
journal of the swap are on disk first, so that whatever ends the program, a recovery makes the
data wholly old or wholly new before it starts them.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..capture.cold_snapshot import drop_leftovers
from ..capture.plan import PlannedGroup, make_plan
from ..config.schema import Config
from ..docker.container import read_containers
from ..docker.engine import DockerClient, NoSuchContainer
from ..docker.stop_choice import own_container_id, touches
from ..docker.stop_start import (
    Outcome,
    RecoverResult,
    StopProgress,
    recover,
    start_in_order,
    stop_in_order,
)
from ..docker.stopped_set import StoppedEntry, StoppedSet, boot_id
from ..process.signal_shield import Shield, shielded
from .live_paths import Move, Root
from .replaced import REJECTED, REPLACED, Replaced, ReplacedList
from .swap import (
    BACK,
    FORWARD,
    REJECTING,
    STEP_BACK_DONE,
    STEP_SWAP_NOTED,
    STEP_SWAPPED,
    SWAPPED,
    Swap,
    SwapFile,
    go_back,
    go_forward,
    reject_stages,
)

STEP_SETTLED = "settled"

# The engine may be this much late with the kill at the end of a container's stop time-out.
STOP_MARGIN_SECONDS = 5.0


@dataclass(frozen=True)
class SwapResult:
    """How a swap ended. *is_new*: the restored data is live.

    *problems*: what was wrong with containers on the new data, or on the old again. *aside*: what
    lay there before (or the new data that was not good) and where it is now.
    """

    is_new: bool
    stopped: Tuple[str, ...] = ()
    down_seconds: float = 0.0
    problems: Tuple[str, ...] = ()
    aside: Tuple[str, ...] = ()


def plan_groups(config: Config, docker: DockerClient, paths: Sequence[str]) -> List[PlannedGroup]:
    """The groups of running containers that see *paths*, readers too: the data moves away.

    Raises :class:`BackupError` for one that writes there and can't be stopped.
    """
    real = [os.path.realpath(path) for path in paths]
    in_use = [
        container
        for container in read_containers(docker.inspect_all(), docker.volumes())
        if (container.is_active or container.status == "paused")
        and touches(container, real, readers_too=True)
    ]
    if not in_use:
        # Also on a new board, where nothing is that the configuration may name.
        return []
    groups = [
        group
        for group in make_plan(config, docker, only=paths, readers_too=True).groups
        if any(touches(member, real, readers_too=True) for member in group.members)
    ]
    stopping = {member.id for group in groups for member in group.members}
    own = own_container_id()
    for container in in_use:
        if container.id not in stopping | {own} and touches(container, real):
            raise BackupError(
                f"container {container.name} uses {paths[0]} and is not to be stopped",
                f"Stop it yourself ('docker stop {container.name}'), then restore again",
            )
    return groups


def swap_in_place(
    config: Config,
    docker: Optional[DockerClient],
    journal: Journal,
    *,
    identifier: str,
    point: str,
    moves: Sequence[Move],
    roots: Sequence[Root],
    stages: Sequence[str],
    groups: Sequence[PlannedGroup],
) -> SwapResult:
    """Stop *groups*, do *moves*, start again; back to the old data when a container is not well.

    Raises what went wrong before the new data was in place; the old data is live then and the
    containers run.
    """
    entries = _entries(groups)
    timeouts = {one: s for group in groups for one, s in group.timeouts_seconds.items()}
    swap = Swap(
        id=identifier,
        point=point,
        phase=FORWARD,
        moves=tuple(moves),
        stages=tuple(stages),
        entries=tuple(entries),
        timeouts_seconds=tuple(timeouts.items()),
        roots=tuple(roots),
    )
    began = time.monotonic()
    with shielded() as shield:
        _stop_and_swap(config, docker, journal, swap, shield)
        result = _finish(config, docker, journal, dataclasses.replace(swap, phase=SWAPPED))
    return dataclasses.replace(result, down_seconds=time.monotonic() - began)


def recover_all(config: Config, journal: Journal) -> RecoverResult:
    """Finish or undo what an interrupted run left: a swap of data, stopped containers, snapshots.

    Raises :class:`BackupError` when that is not possible now; everything stays as it is then,
    and nothing is started on data that is half old and half new.
    """
    warning = recover_swap(config, journal)
    docker = DockerClient(config.containers.socket)
    result = recover(
        StoppedSet(config.paths.state),
        docker,
        journal,
        start_timeout_seconds=config.containers.start_timeout_seconds,
    )
    problems = drop_leftovers(config, journal)
    for problem in problems:
        journal.warning(problem)
    warnings = (*([warning] if warning else []), *result.warnings, *problems)
    return dataclasses.replace(result, warnings=warnings)


def _entries(groups: Sequence[PlannedGroup]) -> List[StoppedEntry]:
    """What is stopped, in order; a later group's stops begin after those of the ones before."""
    entries: List[StoppedEntry] = []
    before_seconds = 0.0
    for group in groups:
        entries += [
            dataclasses.replace(
                entry, stop_deadline_seconds=entry.stop_deadline_seconds + before_seconds
            )
            for entry in group.entries()
        ]
        before_seconds += sum(group.timeouts_seconds.values())
    return entries


def recover_swap(config: Config, journal: Journal) -> str:
    """Finish or undo an interrupted swap; what it was, "" without one. Raises as above."""
    docker = DockerClient(config.containers.socket)
    file = SwapFile(config.paths.state)
    swap = file.read()
    if swap is None:
        return ""
    with shielded():
        if swap.entries:
            docker.wait_until_reachable(config.containers.start_timeout_seconds)
        if swap.phase == SWAPPED:
            result = _finish(config, docker, journal, swap)
            ending = "finished" if result.is_new else "taken back: its data was not good"
        else:
            _undo(config, docker, journal, swap)
            ending = "undone: the data is what it was before"
    warning = f"an interrupted restore of {swap.point} in place was {ending}"
    journal.warning(warning)
    return warning


def _stop_and_swap(
    config: Config,
    docker: Optional[DockerClient],
    journal: Journal,
    swap: Swap,
    shield: Shield,
) -> None:
    file = SwapFile(config.paths.state)
    stopped = StoppedSet(config.paths.state)
    progress = StopProgress()
    try:
        if docker is not None and swap.entries:
            stop_in_order(
                docker,
                stopped,
                swap.entries,
                dict(swap.timeouts_seconds),
                journal,
                shield,
                progress,
            )
        shield.check()
        # What was downloaded must outlive a power cut before it takes the old data's place.
        os.sync()
        file.write(swap)
        journal.step(STEP_SWAP_NOTED)
        go_forward(swap, journal)
        file.write(dataclasses.replace(swap, phase=SWAPPED))
        journal.step(STEP_SWAPPED)
    except BaseException:
        if file.read() is not None:
            go_back(swap, journal)
            file.clear()
        if docker is not None:
            start_in_order(
                docker,
                stopped,
                swap.entries,
                config.containers.start_timeout_seconds,
                journal,
                stop_broke_off=progress.under_way,
            )
        raise


def _finish(
    config: Config, docker: Optional[DockerClient], journal: Journal, swap: Swap
) -> SwapResult:
    """Start the containers on the new data; settle it, or go back."""
    outcomes = _start(config, docker, journal, swap.entries)
    problems = tuple(item.warning for item in outcomes if not item.ready and not item.gone)
    file = SwapFile(config.paths.state)
    names = tuple(entry.name for entry in swap.entries)
    if problems:
        journal.warning("the containers are not well on the restored data: going back")
        back = dataclasses.replace(swap, phase=BACK)
        file.write(back)
        rejected = _undo(config, docker, journal, back)
        again = _start(config, docker, journal, swap.entries)
        problems += tuple(item.warning for item in again if not item.ready and not item.gone)
        return SwapResult(False, names, problems=problems, aside=rejected)
    aside = tuple(move.aside for move in swap.moves if move.aside)
    ReplacedList(config.paths.state).add(Replaced(swap.id, swap.point, REPLACED, aside))
    for stage in swap.stages:
        shutil.rmtree(stage, ignore_errors=True)
    journal.step(STEP_SETTLED)
    file.clear()
    return SwapResult(True, names, aside=aside)


def _undo(
    config: Config, docker: Optional[DockerClient], journal: Journal, swap: Swap
) -> Tuple[str, ...]:
    """Old data back in place, with the containers stopped and listed for their start."""
    file = SwapFile(config.paths.state)
    rejected: Tuple[str, ...] = ()
    if swap.phase != REJECTING:
        if docker is not None and swap.entries:
            _stop_again(config, docker, journal, swap)
        go_back(swap, journal)
    if swap.phase != FORWARD:
        file.write(dataclasses.replace(swap, phase=REJECTING))
        journal.step(STEP_BACK_DONE)
        rejected = reject_stages(swap)
        ReplacedList(config.paths.state).add(Replaced(swap.id, swap.point, REJECTED, rejected))
    journal.step(STEP_SETTLED)
    file.clear()
    return rejected


def _stop_again(config: Config, docker: DockerClient, journal: Journal, swap: Swap) -> None:
    """Stop what runs of the swap's containers: also what an engine started by itself at boot."""
    timeouts = dict(swap.timeouts_seconds)
    deadline = time.monotonic() + STOP_MARGIN_SECONDS
    entries: List[StoppedEntry] = []
    running: Dict[str, bool] = {}
    for entry in swap.entries:
        try:
            state = docker.inspect(entry.id)["State"]
        except NoSuchContainer:
            continue
        deadline += timeouts[entry.id]
        running[entry.id] = bool(state["Running"] or state["Restarting"])
        entries.append(
            dataclasses.replace(
                entry,
                started_at=state["StartedAt"],
                stopped_at_seconds=time.time(),
                stop_deadline_seconds=deadline,
                boot_id=boot_id(),
            )
        )
    StoppedSet(config.paths.state).add(entries)
    for entry in entries:
        if running[entry.id]:
            docker.stop(entry.id, timeouts[entry.id])
            journal.info(f"stopped {entry.name}")


def _start(
    config: Config,
    docker: Optional[DockerClient],
    journal: Journal,
    entries: Sequence[StoppedEntry],
) -> List[Outcome]:
    if docker is None or not entries:
        return []
    stopped = StoppedSet(config.paths.state)
    stopped.add(entries)
    return start_in_order(
        docker,
        stopped,
        entries,
        config.containers.start_timeout_seconds,
        journal,
        stop_broke_off=False,
    )
