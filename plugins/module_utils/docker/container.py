# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container as the capture sees it, read from the engine's inspect answer.

Compose v2 writes what a service depends on into the label ``com.docker.compose.depends_on``
(``db:service_healthy:false,cache:service_started:true``; before v2.3 only the names).
docker-compose 1.29 writes no such label: its compose file is read (:mod:`.compose_file`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .compose_file import Dependencies, read_dependencies
from .labels import Labels, read_labels

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ONEOFF_LABEL = "com.docker.compose.oneoff"
DEPENDS_LABEL = "com.docker.compose.depends_on"
VERSION_LABEL = "com.docker.compose.version"
WORKING_DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
CONFIG_FILES_LABEL = "com.docker.compose.project.config_files"
SWARM_TASK_LABEL = "com.docker.swarm.task.id"

# The engine takes a run of this length for a success and starts its restart delay anew.
LOOPING_SECONDS = 10.0

# States in which processes of the container run or are about to.
ACTIVE_STATES = ("running", "restarting")


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host inside a container.

    *sources* are the real host paths behind it: for a volume that the local driver binds to a
    directory, that directory as well as the engine's own path.
    """

    sources: Tuple[str, ...]
    destination: str
    writable: bool


@dataclass(frozen=True)
class HealthCheck:
    """The container's own check as a command, with the time-out of one try."""

    command: Tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True)
class Container:
    """One container; *status* is the engine's word for its state.

    *needs_services* are compose services of the same project, *needs_containers* names or IDs
    (links, shared network, IPC and PID namespaces, volumes-from). *looping*: it ends and is
    restarted over and over. *needs_unknown*: its project's compose file can't be read, so that it
    may depend on any service of the project. *unhealthy*: its health check is red.
    """

    id: str
    name: str
    status: str
    created: str
    started_at: str
    labels: Labels
    mounts: Tuple[Mount, ...] = ()
    project: str = ""
    service: str = ""
    number: str = ""
    oneoff: bool = False
    needs_services: Tuple[str, ...] = ()
    needs_containers: Tuple[str, ...] = ()
    removed_on_stop: bool = False
    swarm_task: bool = False
    stop_timeout_seconds: Optional[int] = None
    looping: bool = False
    unhealthy: bool = False
    needs_unknown: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it runs or restarts over and over; paused is neither."""
        return self.status in ACTIVE_STATES

    def is_called(self, name: str) -> bool:
        """Whether *name* means this container: its name, its ID, or ``project/service``."""
        if self.project and name == f"{self.project}/{self.service}":
            return True
        return name in (self.name, self.id) or (len(name) >= 12 and self.id.startswith(name))


def read_containers(
    inspected: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]]
) -> List[Container]:
    """Turn the engine's answers into containers, oldest first.

    Raises :class:`ConfigError` for a ``lepotato.backup.`` label that is unknown or has a bad value.
    """
    devices = _bound_devices(volumes)
    found = _with_declared_needs([_read(raw, devices) for raw in inspected], inspected)
    return sorted(found, key=lambda container: (container.created, container.name))


def _read(raw: Mapping[str, Any], devices: Mapping[str, str]) -> Container:
    settings = raw["Config"]
    host = raw["HostConfig"]
    name = raw["Name"].lstrip("/")
    labels: Dict[str, str] = settings.get("Labels") or {}
    return Container(
        id=raw["Id"],
        name=name,
        status=raw["State"]["Status"],
        created=raw["Created"],
        started_at=raw["State"]["StartedAt"],
        labels=read_labels(name, labels),
        mounts=tuple(_mounts(raw.get("Mounts") or [], devices)),
        project=labels.get(PROJECT_LABEL, ""),
        service=labels.get(SERVICE_LABEL, ""),
        number=labels.get(NUMBER_LABEL, ""),
        oneoff=labels.get(ONEOFF_LABEL, "False").lower() == "true",
        needs_services=_needed_services(labels.get(DEPENDS_LABEL, "")),
        needs_containers=_needed_containers(host),
        removed_on_stop=bool(host.get("AutoRemove")),
        swarm_task=SWARM_TASK_LABEL in labels,
        stop_timeout_seconds=settings.get("StopTimeout"),
        looping=_is_looping(raw, time.time()),
        unhealthy=is_unhealthy(raw["State"]),
    )


def _with_declared_needs(
    containers: Sequence[Container], inspected: Sequence[Mapping[str, Any]]
) -> List[Container]:
    """Add what docker-compose 1.x keeps to its file alone."""
    files: Dict[Tuple[str, str], Optional[Dependencies]] = {}
    found = []
    for container, raw in zip(containers, inspected):
        labels = raw["Config"].get("Labels") or {}
        if not labels.get(VERSION_LABEL, "").startswith("1."):
            found.append(container)
            continue
        key = (labels.get(WORKING_DIRECTORY_LABEL, ""), labels.get(CONFIG_FILES_LABEL, ""))
        if key not in files:
            files[key] = read_dependencies(*key)
        declared = files[key]
        if declared is None:
            found.append(replace(container, needs_unknown=True))
        else:
            found.append(replace(container, needs_services=declared.get(container.service, ())))
    return found


def is_unhealthy(state: Mapping[str, Any]) -> bool:
    """Whether the engine's *state* of a container says that its health check is red."""
    return (state.get("Health") or {}).get("Status") == "unhealthy"


def _is_looping(raw: Mapping[str, Any], now_seconds: float) -> bool:
    """Whether it waits for its next restart, or was restarted by policy a moment ago."""
    state = raw["State"]
    if state["Status"] == "restarting":
        return True
    if state["Status"] != "running" or not raw.get("RestartCount"):
        return False
    # Nanoseconds are more than datetime takes; seconds are enough here.
    started = datetime.strptime(state["StartedAt"][:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    return now_seconds - started.timestamp() < LOOPING_SECONDS


def _mounts(raw: Sequence[Mapping[str, Any]], devices: Mapping[str, str]) -> List[Mount]:
    found = []
    for item in raw:
        if item.get("Type") not in ("bind", "volume") or not item.get("Source"):
            continue
        sources = [item["Source"]]
        device = devices.get(item.get("Name") or "")
        if device:
            sources.append(device)
        real = tuple(dict.fromkeys(os.path.realpath(source) for source in sources))
        found.append(Mount(real, item["Destination"], bool(item.get("RW", True))))
    return found


def _bound_devices(volumes: Sequence[Mapping[str, Any]]) -> Dict[str, str]:
    """Volumes of the local driver with ``o=bind``: their name and the directory behind them."""
    found = {}
    for volume in volumes:
        options = volume.get("Options") or {}
        flags = (options.get("o") or "").split(",")
        device = options.get("device") or ""
        if (
            volume.get("Driver") == "local"
            and device.startswith("/")
            and {"bind", "rbind"} & {*flags}
        ):
            found[volume["Name"]] = device
    return found


def _needed_services(label: str) -> Tuple[str, ...]:
    names = (item.split(":", 1)[0].strip() for item in label.split(","))
    return tuple(name for name in names if name)


def _needed_containers(host: Mapping[str, Any]) -> Tuple[str, ...]:
    # A link reads "/other:/this/alias", a volumes-from entry "other" or "other:ro".
    pairs = [*(host.get("Links") or []), *(host.get("VolumesFrom") or [])]
    needed = [pair.split(":", 1)[0].lstrip("/") for pair in pairs]
    for key in ("NetworkMode", "IpcMode", "PidMode"):
        kind, _colon, other = (host.get(key) or "").partition(":")
        if kind == "container" and other:
            needed.append(other.lstrip("/"))
    return tuple(dict.fromkeys(needed))


def health_check(settings: Mapping[str, Any]) -> Optional[HealthCheck]:
    """The health check in a container's ``Config``, None without one."""
    check = settings.get("Healthcheck") or {}
    test = check.get("Test") or []
    if len(test) < 2 or test[0] == "NONE":
        return None
    # The engine's default for a missing time-out is 30 s; its unit is the nanosecond.
    timeout = (check.get("Timeout") or 30 * 10**9) / 10**9
    if test[0] == "CMD-SHELL":
        shell = settings.get("Shell") or ["/bin/sh", "-c"]
        return HealthCheck((*shell, test[1]), timeout)
    return HealthCheck(tuple(test[1:]), timeout)
