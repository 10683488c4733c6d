# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Ansible inventory: the five values of a user, and where the board is."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import rclone_binaries
from .names import LabNames
from .standin import Account


def write_inventory(
    names: LabNames, host: str, account: Account, arch: str, ssd: str, board: Mapping[str, Any]
) -> None:
    """Write hosts.yml and the group's variables (JSON is YAML), readable by root only.

    *board* says how Ansible reaches it, *ssd* where its SSD is mounted.
    """
    group = names.inventory / "group_vars" / "potato"
    group.mkdir(parents=True)
    _write(
        names.inventory / "hosts.yml",
        {
            "potato": {
                "hosts": {
                    host: {
                        **board,
                        "ansible_user": "root",
                        "ansible_python_interpreter": "/usr/bin/python3",
                    }
                }
            }
        },
    )
    _write(
        group / "main.yml",
        {
            "lepotato_backup_b2_endpoint": account.url,
            "lepotato_backup_ssd_mount": ssd,
            "rclone_source": "file",
            "rclone_file": str(rclone_binaries.binary(arch)),
        },
    )
    _write(
        group / "vault.yml",
        {
            "lepotato_backup_b2_key_id": account.key_id,
            "lepotato_backup_b2_key": account.key,
            "lepotato_backup_bucket": account.bucket,
            "lepotato_backup_password": secrets.token_urlsafe(24),
            "lepotato_backup_password2": secrets.token_urlsafe(24),
        },
    )


def secret_values(names: LabNames) -> list[str]:
    """Return what must never show in any output of this lab."""
    vault: dict[str, str] = json.loads(
        (names.inventory / "group_vars" / "potato" / "vault.yml").read_text()
    )
    shown = ("lepotato_backup_bucket", "lepotato_backup_b2_key_id")
    return [value for name, value in vault.items() if name not in shown]


def _write(path: Path, content: dict[str, Any]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")
