# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook of this collection against a lab's board."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..ansible_env import ansible_env
from ..paths import CHECKOUT
from ..shell import ToolError, run_logged, tail
from ..venvs import venv_program
from .inventory import secret_values
from .names import LabNames

RECAP = re.compile(
    r"^\S+\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Recap:
    """What Ansible counted on the board."""

    ok: int
    changed: int


def play(names: LabNames, playbook: str, log: Path, *options: str) -> Recap:
    """Run lepotato.backup.PLAYBOOK with its output in *log*.

    Raises:
        ToolError: it failed, reached no host, or showed a secret.
    """
    start = log.stat().st_size if log.exists() else 0
    code = run_logged(
        [venv_program("ansible-playbook"), "--inventory", str(names.inventory), *options]
        + [f"lepotato.backup.{playbook}"],
        log,
        cwd=CHECKOUT,
        env={**ansible_env(), "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"},
    )
    output = log.read_bytes()[start:].decode(errors="replace")
    if code != 0:
        raise ToolError(f"{playbook}.yml ended with {code}, log in {log}\n{tail(output)}")
    if any(secret in output for secret in secret_values(names)):
        raise ToolError(f"{playbook}.yml showed a secret, see {log}")
    found = RECAP.search(output)
    if found is None:
        raise ToolError(f"{playbook}.yml reached no host, log in {log}")
    return Recap(int(found["ok"]), int(found["changed"]))
