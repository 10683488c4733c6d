# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A night and a restore on the board, through the two scripts that a person uses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..docker import client, docker
from ..shell import ToolError
from .names import LabNames
from .potato import in_potato
from .services import (
    CHECKSUM_QUERY,
    SERVICES,
    psql,
    running_services,
    start_postgres,
    volumes_dir,
    wait_healthy,
)

BACKUP = "/opt/backup/scripts/backup-to-b2.sh"
RESTORE = "/opt/backup/scripts/restore-from-b2.sh"
PROGRAM = "/usr/local/bin/lepotato-backup"
SCRIPT_SECONDS = 900


def back_up(names: LabNames) -> dict[str, Any]:
    """Run the nightly script; return its record. The services run before and after.

    Raises:
        ToolError: it failed, or a service that ran does not run any more.
    """
    before = running_services(names)
    if before != sorted(SERVICES):
        raise ToolError(f"before the backup only these are healthy: {before}")
    record: dict[str, Any] = _json(
        in_potato(names, BACKUP, "--json", timeout_seconds=SCRIPT_SECONDS)
    )
    for service in SERVICES:
        wait_healthy(names, service)
    return record


def sealed_nights(names: LabNames) -> list[str]:
    """Return the IDs of the nights that the restore script lists, oldest first.

    It lists weekly points too, on the day of the week when a night makes one.
    """
    points: list[dict[str, Any]] = _json(in_potato(names, RESTORE, "--json"))
    return [point["id"] for point in points if point["kind"] == "daily"]


def restore(names: LabNames, target: Path) -> dict[str, Any]:
    """Restore the newest night to *target* (a path on the SSD) without being asked."""
    told: dict[str, Any] = _json(
        in_potato(
            *(names, RESTORE, "daily", "--target", str(target), "--yes", "--json"),
            timeout_seconds=SCRIPT_SECONDS,
        )
    )
    return told


def differences(names: LabNames, target: Path) -> list[str]:
    """Return what rsync finds different between the staged trees and the restored ones."""
    staged = names.ssd / "backup-staging" / "daily"
    # "*" leaves out the two folders themselves: they are this lab's choice, not backed up.
    compare = f"rsync -aHAXn --checksum --delete --itemize-changes {staged}/* {target}/"
    return in_potato(names, "sh", "-c", compare).splitlines()


def rows_of_restored(names: LabNames, target: Path, image: str) -> str:
    """Start PostgreSQL on the restored copy and return the checksum of its rows.

    Raises:
        ToolError: it does not start on it, or has no such table.
    """
    service = "restored-db"
    copy = target / "docker-volumes" / str(volumes_dir(names) / "db").lstrip("/")
    if not (copy / "PG_VERSION").exists():
        raise ToolError(f"no PostgreSQL data came back at {copy}")
    start_postgres(names, service, copy, image)
    try:
        wait_healthy(names, service)
        return psql(names, service, CHECKSUM_QUERY)
    finally:
        docker("rm", "--force", names.prefix + service)


def watch_downtime(names: LabNames, work: Callable[[], None]) -> dict[str, float]:
    """Do *work*; return for each service how long it did not run, in seconds.

    Docker's events are followed meanwhile, from a container's end to its start: afterwards
    it has only the last 256, and health checks alone make that many in half a minute.
    """
    watcher = subprocess.Popen(
        [client(), "events", "--filter", f"label=com.docker.compose.project={names.lab_id}"]
        + ["--filter", "event=die", "--filter", "event=start", "--format", "{{json .}}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        work()
    finally:
        watcher.terminate()
        events, _ = watcher.communicate()
    down: dict[str, float] = dict.fromkeys(SERVICES, 0.0)
    ended: dict[str, float] = {}
    for line in events.splitlines():
        event = json.loads(line)
        service = event["Actor"]["Attributes"]["com.docker.compose.service"]
        at = event["timeNano"] / 1e9
        if event["Action"] == "die":
            ended[service] = at
        elif service in ended:
            down[service] += at - ended.pop(service)
    return down


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ToolError(f"not JSON: {text[:200]!r}") from error
