# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a started container does its work again.

The engine runs a health check for the first time one interval (30 s by default) after the start,
and everything that depends on the container would stay down for that long. We run the same check
ourselves right away: its success is what the engine would find, only sooner.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, NamedTuple, Optional

from .container import HealthCheck, health_check
from .engine import DockerClient, DockerError, NoSuchContainer

# Looked at soon after the start, then less often: each probe costs a process in the container.
POLL_FIRST_SECONDS = 0.05
POLL_MAX_SECONDS = 1.0
POLL_GROWTH = 1.5


class Readiness(NamedTuple):
    """Whether a container is back; *problem* says what is wrong with it, "" when nothing is."""

    ready: bool
    problem: str


def wait_until_ready(
    docker: DockerClient,
    container: str,
    timeout_seconds: float,
    *,
    healthy: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Readiness:
    """Wait until *container* is healthy, or runs where it has no health check.

    Without *healthy* it is enough that it runs: it was not healthy before either.
    Never raises for what the container or the engine does: that is the result's *problem*.
    """
    deadline = clock() + timeout_seconds
    pause = POLL_FIRST_SECONDS
    while True:
        lack = _look(docker, container, deadline - clock(), healthy)
        if lack is None:
            return Readiness(True, "")
        if lack.final:
            return Readiness(False, lack.problem)
        if clock() >= deadline:
            return Readiness(False, f"{lack.problem} after {timeout_seconds:g} s")
        sleep(min(pause, max(0.0, deadline - clock())))
        pause = min(pause * POLL_GROWTH, POLL_MAX_SECONDS)


class _Lack(NamedTuple):
    problem: str
    final: bool


def _look(
    docker: DockerClient, container: str, left_seconds: float, healthy: bool
) -> Optional[_Lack]:
    """None when the container is ready, else what it lacks and whether waiting is of use."""
    try:
        raw = docker.inspect(container)
    except NoSuchContainer:
        return _Lack("is gone", final=True)
    except DockerError as error:
        return _Lack(f"can't be looked at ({error.message})", final=False)
    state = raw["State"]
    if state.get("Paused"):
        return None
    if state["Restarting"]:
        return _Lack(f"restarts over and over (exit code {state['ExitCode']})", final=False)
    if not state["Running"]:
        # The engine restarts by policy at once and says so: one that ended stays ended.
        return _Lack(_how_it_ended(state), final=True)
    check = health_check(raw["Config"])
    if check is None or not healthy:
        return None
    status = (state.get("Health") or {}).get("Status", "starting")
    if status == "healthy" or _probe(docker, container, check, left_seconds):
        return None
    return _Lack(f"is not healthy ({status})", final=False)


def _how_it_ended(state: Mapping[str, Any]) -> str:
    reason = state.get("Error") or ("out of memory" if state.get("OOMKilled") else "")
    return f"is not running (exit code {state['ExitCode']}{', ' + reason if reason else ''})"


def _probe(docker: DockerClient, container: str, check: HealthCheck, left_seconds: float) -> bool:
    try:
        result = docker.exec(
            container,
            check.command,
            timeout_seconds=max(0.1, min(check.timeout_seconds, left_seconds)),
        )
    except DockerError:
        # It ended meanwhile, or the check hangs: the next look tells.
        return False
    return result.exit_code == 0
