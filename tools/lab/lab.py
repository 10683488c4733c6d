# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making and removing a whole lab."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

from ..docker import daemon_problem, docker
from ..host import Say
from ..images import ensure_image, potato, services
from . import standin
from .inventory import write_inventory
from .names import LabNames
from .potato import boot, write_files
from .services import start_services
from .standin import Account, start_standin, stop_standin
from .storage import create_ssd, destroy_ssd

BUCKET = "lepotato-lab"
HOST = "lepotato"
BOARD_FILES = {
    "/opt/docker-compose/home/docker-compose.yml": "services:\n  db: {}\n  app: {}\n  pihole: {}\n",
    "/opt/docker-compose/home/.env": "TZ=Europe/Berlin\n",
    "/etc/pihole/pihole.toml": "[dns]\nupstreams = ['9.9.9.9']\n",
    "/etc/dnsmasq.d/99-local.conf": "address=/potato.lan/192.0.2.10\n",
}


def create(names: LabNames, arch: str, say: Say) -> Account:
    """Make the lab from its images, the services' data included; what was there goes.

    Raises:
        ToolError: a part can't be made; the text says which. destroy() clears the rest.
    """
    destroy(names)
    names.folder.mkdir(parents=True, mode=0o700)
    create_ssd(names)
    account = start_standin(names, BUCKET, HOST)
    account_file = names.folder / "account.json"
    account_file.touch(mode=0o600)
    account_file.write_text(json.dumps(asdict(account)))
    boot(names, ensure_image(potato(arch), say))
    write_files(names, BOARD_FILES)
    board = {"ansible_connection": "community.docker.docker", "ansible_host": names.potato}
    write_inventory(names, HOST, account, arch, str(names.ssd), board)
    start_services(names, ensure_image(services(), say))
    return account


def destroy(names: LabNames) -> None:
    """Remove everything that carries the lab's name; nothing there is fine.

    Raises:
        ToolError: something could not be removed.
    """
    if not daemon_problem():
        listed = docker(
            "ps", "--all", "--filter", f"name=^{names.prefix}", "--format", "{{.Names}}"
        )
        if containers := listed.stdout.split():
            docker("rm", "--force", "--volumes", *containers)
    stop_standin(names)
    destroy_ssd(names)
    if names.folder.exists():
        shutil.rmtree(names.folder)


def account_of(names: LabNames) -> Account:
    """Return the account of a lab that was made before."""
    return Account(**json.loads((names.folder / "account.json").read_text()))


def bucket_names(names: LabNames, limit: int = 1000) -> list[str]:
    """Return up to *limit* names as they lie in the lab's bucket."""
    return standin.stored_names(names, account_of(names), limit)
