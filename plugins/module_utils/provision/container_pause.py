# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop the containers around some paths for work in between, and start them again.

What a playbook does with :mod:`..docker.stop_start`: the same choice, the same order and the
same set on disk as a night, so that a playbook that dies in between leaves nothing down for
longer than the next boot or night.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List, Sequence

from ..base.journal import Journal
from ..capture.plan import Plan, make_plan
from ..config.schema import Config
from ..docker.engine import DockerClient
from ..docker.stop_start import (
    RecoverResult,
    StopProgress,
    recover,
    start_in_order,
    still_running,
    stop_in_order,
)
from ..docker.stopped_set import StoppedEntry, StoppedSet
from ..process.signal_shield import shielded
from ..restore.in_place import recover_swap


def plan_stop(
    config: Config, docker: DockerClient, paths: Sequence[str], *, readers_too: bool
) -> Plan:
    """What :func:`stop_planned` would stop: what mounts *paths*, or the sources when empty."""
    return make_plan(config, docker, only=paths, readers_too=readers_too)


def stop_planned(config: Config, docker: DockerClient, plan: Plan, journal: Journal) -> None:
    """Stop all groups of *plan*; they stay down and on the list on disk.

    When a stop fails or a signal comes in, what was stopped is started again before the error is
    raised.
    """
    stopped = StoppedSet(config.paths.state)
    done: List[StoppedEntry] = []
    progress = StopProgress()
    with shielded() as shield:
        try:
            for group in plan.groups:
                entries = still_running(docker, group.entries())
                done += entries
                stop_in_order(
                    docker,
                    stopped,
                    entries,
                    group.timeouts_seconds,
                    journal,
                    shield,
                    progress,
                )
            shield.check()
        except BaseException:
            start_in_order(
                docker,
                stopped,
                done,
                config.containers.start_timeout_seconds,
                journal,
                stop_broke_off=progress.under_way,
            )
            raise


def start_stopped(config: Config, docker: DockerClient, journal: Journal) -> RecoverResult:
    """Start everything that is on the list on disk, whoever stopped it.

    An interrupted restore in place is finished or undone first.
    """
    recover_swap(config, journal)
    return recover(
        StoppedSet(config.paths.state),
        docker,
        journal,
        start_timeout_seconds=config.containers.start_timeout_seconds,
    )


def planned_facts(plan: Plan) -> List[Dict[str, str]]:
    """Container and group of what *plan* stops, in stop order."""
    return [
        {"name": member.name, "id": member.id, "group": group.name}
        for group in plan.groups
        for member in group.members
    ]


def listed_facts(entries: Sequence[StoppedEntry]) -> List[Dict[str, Any]]:
    """Container and group of what is to be started, in start order, with seconds down so far."""
    now = time.time()
    return [
        {
            "name": entry.name,
            "id": entry.id,
            "group": entry.group,
            "down_seconds": round(max(0.0, now - entry.stopped_at_seconds), 1),
        }
        for entry in reversed(entries)
    ]


def started_facts(result: RecoverResult) -> List[Dict[str, Any]]:
    """What a start did, in start order; *down_seconds* until it was ready."""
    clock_difference = time.time() - time.monotonic()
    return [
        {
            "name": item.entry.name,
            "id": item.container_id,
            "group": item.entry.group,
            "ready": item.ready,
            "down_seconds": round(
                max(0.0, item.ready_at_seconds + clock_difference - item.entry.stopped_at_seconds),
                1,
            ),
            "problem": item.problem,
        }
        for item in result.outcomes
    ]
