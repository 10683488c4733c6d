# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest: the stand-in's own tests and the tests with real programs and containers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Optional

from ..paths import CHECKOUT
from ..shell import ToolError
from ..venvs import OLDEST_ANSIBLE, venv_program
from .stage import Log, Skip, Stage, last_line

WORKERS = "2"
# One more than cores: rclone's pace, 100 calls a second, lets a worker wait for minutes.
INTEGRATION_WORKERS = "3"
# What runs roles and modules through ansible-playbook on this machine.
ROLE_TESTS = "test_roles_bad or test_role_modules"
# A third of it is usual on two cores; slow machines take longer.
TIMEOUT_SECONDS = 4200


def tools_stage() -> Stage:
    """Return the stage of the tests of tools/: what the demo and these stages call good."""
    return Stage("tools tests", partial(_pytest, "tests/tools"))


def oldest_ansible_stage() -> Stage:
    """Return the stage of roles and modules under the oldest Ansible that is promised."""
    return Stage("roles on the oldest Ansible", _oldest_ansible, needs="oldest")


def standin_stage() -> Stage:
    """Return the stage of the stand-in's tests with rclone and b2sdk."""
    return Stage("stand-in tests", partial(_pytest, "tests/b2_standin/tests", "-n", WORKERS))


def integration_stage() -> Stage:
    """Return the stage of the tests with real rclone, rsync and Docker.

    They mostly wait; the tests of one file share what it starts.
    """
    # The order is that of tests/integration/conftest.py: the longest first.
    options = ("-n", INTEGRATION_WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    return Stage(
        "integration tests", partial(_pytest, "tests/integration", *options), needs="docker"
    )


def _oldest_ansible(log: Log) -> str:
    promised = re.search(r">=([0-9]+\.[0-9]+)", (CHECKOUT / "meta/runtime.yml").read_text())
    pinned = re.search(r"ansible-core==([0-9]+\.[0-9]+)", (CHECKOUT / OLDEST_ANSIBLE).read_text())
    if promised is None or pinned is None or promised[1] != pinned[1]:
        raise ToolError(f"meta/runtime.yml promises another ansible-core than {OLDEST_ANSIBLE}")
    python = venv_program("python", OLDEST_ANSIBLE)
    for playbook in sorted((CHECKOUT / "playbooks").glob("*.yml")):
        name = f"lepotato.backup.{playbook.stem}"
        log.call(python, "-m", "ansible", "playbook", "--syntax-check", name)
    counted = _pytest(
        "tests/integration", "-k", ROLE_TESTS, log=log, env={"LPB_ANSIBLE_PYTHON": python}
    )
    return f"ansible-core {pinned[1]}: {counted}"


def _pytest(folder: str, *options: str, log: Log, env: Optional[Mapping[str, str]] = None) -> str:
    if not any((CHECKOUT / folder).rglob("test_*.py")):
        raise Skip(f"{folder} has no tests")
    output = log.call(
        *("python", "-m", "pytest", "-q", "--color=no", "--durations=10", *options, folder),
        env={"COLUMNS": "100", **(env or {})},
        timeout_seconds=TIMEOUT_SECONDS,
    )
    counted = last_line(output, " passed")
    if not counted:
        raise ToolError(f"no test ran, log in {log.path}")
    return counted
