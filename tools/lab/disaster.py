# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worst day of a lab: a night, and then board, SSD and services are gone; a blank board boots.

The services' compose file is on the first board, and only in the backup afterwards.
"""

from __future__ import annotations

import json
from typing import Any

from ..docker import docker
from ..host import Say
from ..images import ensure_image, potato
from .names import LabNames
from .night import back_up
from .potato import boot, in_potato, write_files
from .services import CHECKSUM_QUERY, SERVICES, psql
from .storage import create_ssd, destroy_ssd

PROJECT = "/opt/docker-compose/home"
COMPOSE_FILE = f"{PROJECT}/docker-compose.yml"
INSTALL_SECONDS = 600


def strike(names: LabNames, arch: str, say: Say) -> None:
    """Back the board up, then take all of it away and boot a blank one with compose on it.

    What the database held is kept in the lab's folder, for the comparison afterwards.

    Raises:
        ToolError: the night failed, or a part of the blank board can't be made.
    """
    write_files(names, {COMPOSE_FILE: json.dumps(_compose(names), indent=2) + "\n"})
    (names.folder / "rows.txt").write_text(psql(names, "db", CHECKSUM_QUERY))
    back_up(names)
    containers = [names.potato, *(names.prefix + service for service in SERVICES)]
    docker("rm", "--force", "--volumes", *containers)
    destroy_ssd(names)
    create_ssd(names)
    boot(names, ensure_image(potato(arch), say))
    # The roles install no Docker: a blank board has it, and compose, from its owner.
    in_potato(
        *(names, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"),
        *("--quiet", "--no-install-recommends", "docker-compose"),
        timeout_seconds=INSTALL_SECONDS,
    )


def rows_before(names: LabNames) -> str:
    """Return what the database held before the disaster."""
    return (names.folder / "rows.txt").read_text()


def _compose(names: LabNames) -> dict[str, Any]:
    """Return a compose file that makes the services as they run now (JSON is YAML)."""
    return {"services": {service: _service(names, service) for service in SERVICES}}


def _service(names: LabNames, service: str) -> dict[str, Any]:
    container = names.prefix + service
    found = json.loads(docker("inspect", container).stdout)[0]
    return {
        "container_name": container,
        "image": found["Config"]["Image"],
        "command": found["Config"]["Cmd"],
        "init": True,
        "network_mode": "none",
        "restart": "unless-stopped",
        "volumes": found["HostConfig"]["Binds"],
        "healthcheck": {
            "test": found["Config"]["Healthcheck"]["Test"],
            "interval": "2s",
            "timeout": "5s",
        },
    }
