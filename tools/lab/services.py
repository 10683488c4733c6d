# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house's services beside the board: PostgreSQL, a SQLite writer, Pi-hole's stand-in."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from ..docker import docker
from ..shell import ToolError
from .names import LabNames

ROWS = 1000
HEALTHY_SECONDS = 240
SERVICES = ("db", "app", "pihole")
CHECKSUM_QUERY = (
    "SELECT count(*) || ' rows, md5 ' || "
    "md5(string_agg(id || ':' || name || ':' || balance, ',' ORDER BY id)) FROM customer"
)
POSTGRES_IS_READY = "pg_isready --quiet --host /run/postgresql --username postgres"


def start_services(names: LabNames, image: str) -> None:
    """Start the three siblings with data in them and wait until all are healthy.

    Raises:
        ToolError: one did not start or become healthy.
    """
    volumes = volumes_dir(names)
    for service in SERVICES:
        (volumes / service).mkdir(parents=True)
    (volumes / "pihole" / "pihole.toml").write_text("[dns]\nupstreams = ['9.9.9.9']\n")
    _write_media(volumes / "media")
    start_postgres(names, "db", volumes / "db", image, _labels(names, "db"))
    _run(
        names,
        "app",
        volumes / "app",
        image,
        ["lpb-sqlite-writer"],
        "test -s /data/app.db-wal",
        [*_labels(names, "app"), "com.docker.compose.depends_on=db:service_healthy:false"],
    )
    _run(
        names,
        "pihole",
        volumes / "pihole",
        image,
        ["lpb-web"],
        "python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8080/pihole.toml\")'",
        _labels(names, "pihole"),
    )
    for service in SERVICES:
        wait_healthy(names, service)
    psql(
        names,
        "db",
        "CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, balance numeric);"
        "INSERT INTO customer SELECT n, 'customer ' || n, n * 7.25 "
        f"FROM generate_series(1, {ROWS}) n;"
        "CHECKPOINT;",
    )


def start_postgres(
    names: LabNames, service: str, data: Path, image: str, labels: Sequence[str] = ()
) -> None:
    """Start PostgreSQL on the folder *data*, which it makes a cluster of if it is empty."""
    _run(names, service, data, image, ["lpb-postgres"], POSTGRES_IS_READY, labels)


def psql(names: LabNames, service: str, sql: str) -> str:
    """Run *sql* as the superuser; return the bare values.

    Raises:
        ToolError: PostgreSQL refused it.
    """
    command = ["psql", "-h", "/run/postgresql", "-U", "postgres", "-X", "-A", "-t", "-q", "-v"]
    answer = docker("exec", names.prefix + service, *command, "ON_ERROR_STOP=1", "-c", sql)
    return answer.stdout.strip()


def wait_healthy(names: LabNames, service: str) -> None:
    """Wait until Docker calls the service healthy.

    Raises:
        ToolError: it ended, or was not healthy in time.
    """
    container = names.prefix + service
    deadline = time.monotonic() + HEALTHY_SECONDS
    form = "{{.State.Status}} {{.State.Health.Status}}"
    while (state := docker("inspect", "--format", form, container).stdout.strip()) != (
        "running healthy"
    ):
        if not state.startswith(("running", "created")) or time.monotonic() > deadline:
            last = docker("logs", "--tail", "5", container, check=False)
            raise ToolError(f"{container} is {state}: {last.stdout}{last.stderr}")
        time.sleep(0.3)


def running_services(names: LabNames) -> list[str]:
    """Return the lab's siblings that run and are healthy, without the board."""
    listed = docker(
        *("ps", "--filter", f"label=com.docker.compose.project={names.lab_id}"),
        *("--filter", "health=healthy", "--format", "{{.Names}}"),
    )
    return sorted(name.removeprefix(names.prefix) for name in listed.stdout.split())


def volumes_dir(names: LabNames) -> Path:
    """Return where the siblings' data lies."""
    return names.ssd / "docker" / "volumes"


def _labels(names: LabNames, service: str) -> list[str]:
    return [
        f"com.docker.compose.project={names.lab_id}",
        f"com.docker.compose.service={service}",
    ]


def _run(
    names: LabNames,
    service: str,
    data: Path,
    image: str,
    command: Sequence[str],
    health: str,
    labels: Sequence[str],
) -> None:
    options = [option for label in labels for option in ("--label", label)]
    docker(
        *("run", "--detach", "--init", "--name", names.prefix + service, *options),
        # Nobody talks to them from outside, so that a host without iptables will do.
        *("--restart", "unless-stopped", "--network", "none", "--volume", f"{data}:/data"),
        *("--health-cmd", health, "--health-interval", "2s", "--health-timeout", "5s"),
        *(image, *command),
    )


def _write_media(folder: Path) -> None:
    """Write what object storage alone would lose: owners, modes, links, empty folders."""
    (folder / "empty").mkdir(parents=True)
    (folder / "notes ünïcode (1).txt").write_text("a name that is not plain ASCII\n")
    script = folder / "script.sh"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o750)
    os.chown(script, 1000, 1000)
    (folder / "hard-link.sh").hardlink_to(script)
    (folder / "symlink").symlink_to("script.sh")
    (folder / "dangling").symlink_to("/nowhere")
    with (folder / "sparse.bin").open("wb") as stream:
        stream.seek(8 * 1024 * 1024)
        stream.write(b"end")
