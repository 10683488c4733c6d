# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the staging role one after the other, on real file systems in a mount namespace.

The namespace has a /var/lib of its own, so that state and record are the test's. All runs are
one run of ansible-playbook: what it takes is mostly its start.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from integration.ansible_runs import TaskResult, run_playbook

STATE = "/var/lib/lepotato-backup"
_MOUNT = 'mount --bind "$0/var" /var/lib && mount -o loop "$0/one.img" "$0/ssd" && exec "$@"'


class StagingRuns:
    """Steps in order; each is a run of the role or a command, and has a name of its own."""

    def __init__(self, directory: Path, ssd_bytes: int, **variables: Any) -> None:
        """An SSD of *ssd_bytes* at ``directory/ssd``, and another one like it in ``two.img``."""
        self.directory = directory
        self.ssd = directory / "ssd"
        self.variables = {
            "lepotato_backup_ssd_mount": str(self.ssd),
            "staging_reserve_bytes": 0,
            **variables,
        }
        self._tasks: list[dict[str, Any]] = []
        self._results: dict[str, list[TaskResult]] = {}
        for name in ("ssd", "var"):
            (directory / name).mkdir()
        for name in ("one", "two"):
            image = directory / f"{name}.img"
            with image.open("wb") as stream:
                stream.truncate(ssd_bytes)
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)

    def role(
        self, step: str, *, check: bool = False, entry: str = "main", **variables: Any
    ) -> None:
        """Run the role; a failure is for the test to look at."""
        self.shell(step, "true")
        self._tasks.append(
            {
                "ansible.builtin.include_role": {
                    "name": "lepotato.backup.staging",
                    "tasks_from": entry,
                    "apply": {"ignore_errors": True, "check_mode": check},
                },
                "vars": variables,
            }
        )

    def shell(self, step: str, command: str) -> None:
        """Do something to the host, or look at it; a failure is for the test to look at."""
        shell = {"cmd": command, "executable": "/bin/bash"}
        self._tasks.append(
            {"name": f"step {step}", "ansible.builtin.shell": shell, "ignore_errors": True}
        )

    def play(self) -> None:
        """Do all of it; skips the test where no loop device can be had."""
        launcher = ("unshare", "--mount", "sh", "-c", _MOUNT, str(self.directory))
        hosts = {"host": self.variables}
        run = run_playbook(self.directory, hosts, self._tasks, "--diff", launcher=launcher)
        if "failed to setup loop device" in run.output:
            pytest.skip("needs a loop device")
        current: list[TaskResult] = []
        for result in run.results["host"]:
            if result.role_and_task.startswith("step "):
                current = self._results[result.role_and_task.removeprefix("step ")] = []
            current.append(result)

    def outcome(self, step: str) -> str:
        """How a run of the role ended: failed, changed or unchanged."""
        results = self._results[step][1:]
        if any(result.failed for result in results):
            return "failed"
        return "changed" if any(result.changed for result in results) else "unchanged"

    def message(self, step: str) -> str:
        """What a run of the role failed with; empty when it did not fail."""
        return next((one.message for one in self._results[step] if one.failed), "")

    def diff(self, step: str) -> str:
        """What a run of the role said that it changes."""
        return str([one.result.get("diff") for one in self._results[step] if one.changed])

    def said(self, step: str) -> str:
        """What a command printed; fails the test when the command failed."""
        result = self._results[step][0]
        assert not result.failed, result.result
        return str(result.result["stdout"])
