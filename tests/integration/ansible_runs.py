# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook on this machine and read what each task said, for tests of roles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
PLAYBOOK_TIMEOUT_SECONDS = 1200
# Another Ansible's Python, of the oldest that the collection says it runs under.
ANSIBLE_PYTHON = os.environ.get("LPB_ANSIBLE_PYTHON", sys.executable)
# ansible.posix, which writes the results as JSON, comes with the newer one.
COLLECTIONS = os.pathsep.join([str(CHECKOUT / ".collections"), sysconfig.get_path("purelib")])


class TaskResult(NamedTuple):
    """How one task ended for one host."""

    role_and_task: str
    failed: bool
    changed: bool
    message: str
    result: dict[str, Any]


class PlaybookRun(NamedTuple):
    """What a run of ansible-playbook told: results by host in order, and its whole output."""

    exit_code: int
    results: dict[str, list[TaskResult]]
    output: str

    def failure(self, host: str) -> str:
        """The message that *host* failed with; empty when it did not fail."""
        return next((result.message for result in self.results[host] if result.failed), "")

    def changed(self, host: str) -> list[str]:
        """The tasks that changed something on *host*."""
        return [result.role_and_task for result in self.results[host] if result.changed]


def run_playbook(
    directory: Path,
    hosts: dict[str, dict[str, Any]],
    tasks: list[dict[str, Any]],
    *options: str,
    launcher: tuple[str, ...] = (),
) -> PlaybookRun:
    """Run *tasks* for made-up *hosts* (name to variables) that are all this machine.

    Files go to *directory*; *launcher* is put before the command.
    """
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
    # JSON is YAML.
    (directory / "play.yml").write_text(json.dumps([play]))
    return run_playbook_file(directory, hosts, directory / "play.yml", *options, launcher=launcher)


def run_playbook_file(
    directory: Path,
    hosts: dict[str, dict[str, Any]],
    playbook: Path,
    *options: str,
    launcher: tuple[str, ...] = (),
) -> PlaybookRun:
    """Run a playbook; see :func:`run_playbook` for the rest."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {name: {**local, **own} for name, own in hosts.items()}}}
    (directory / "hosts.yml").write_text(json.dumps(inventory))
    ended = subprocess.run(
        [
            *launcher,
            *(ANSIBLE_PYTHON, "-m", "ansible", "playbook"),
            *("-i", str(directory / "hosts.yml"), *options, str(playbook)),
        ],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=PLAYBOOK_TIMEOUT_SECONDS,
        check=False,
    )
    output = ended.stdout + ended.stderr
    return PlaybookRun(ended.returncode, _results(ended.stdout, output, list(hosts)), output)


def _results(stdout: str, output: str, hosts: list[str]) -> dict[str, list[TaskResult]]:
    start = stdout.find("{\n")
    if start < 0:
        raise AssertionError(f"ansible-playbook gave no JSON:\n{output}")
    told = json.JSONDecoder().raw_decode(stdout[start:])[0]
    results: dict[str, list[TaskResult]] = {name: [] for name in hosts}
    for play in told["plays"]:
        for task in play["tasks"]:
            for name, result in task["hosts"].items():
                results[name].append(
                    TaskResult(
                        task["task"]["name"],
                        bool(result.get("failed")),
                        bool(result.get("changed")),
                        str(result.get("msg", "")),
                        result,
                    )
                )
    return results
