#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop the containers around the backup's sources and start them again; see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_sequence
short_description: Stop the containers that use the backup's data, and start them again
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Stops the running containers that use the backup's sources, dependents first, and starts the
    same containers again, dependencies first, each as soon as what it needs is healthy.
  - What is stopped is listed on disk before the first stop. A playbook that dies in between leaves
    nothing down for good, since the boot recovery, the next night and
    C(lepotato-backup recover) start what is on the list.
  - Containers that were stopped already stay stopped.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
options:
  state:
    description:
      - V(stopped) stops what runs and uses the data.
      - V(started) starts what is on the list, and waits until it is healthy.
    type: str
    choices: [stopped, started]
    required: true
  paths:
    description:
      - Stop only what uses these paths. Without them, what uses any source of O(config).
      - Used with O(state=stopped) only.
    type: list
    elements: path
    default: []
  readers:
    description:
      - Whether to stop containers too that only read the data. Needed when the data is replaced and
        not merely copied.
      - Used with O(state=stopped) only.
    type: bool
    default: false
  config:
    description:
      - The program's configuration, with the sources, the containers' settings and where the
        list lies.
    type: path
    default: /etc/lepotato-backup/config.json
attributes:
  check_mode:
    support: full
    details: Says what would be stopped or started.
  diff_mode:
    support: full
    details: Shows the state of each container concerned.
"""

EXAMPLES = r"""
- name: Work on the volumes while nothing uses them
  block:
    - name: Stop what uses the volumes
      lepotato.backup.container_sequence:
        state: stopped
        paths: [/mnt/ssd/docker/volumes]
        readers: true

    - name: Replace the data
      ansible.builtin.command: /usr/local/sbin/replace-the-data
      changed_when: true
  always:
    - name: Start the same containers again
      lepotato.backup.container_sequence:
        state: started
"""

RETURN = r"""
containers:
  description: What was stopped or started, in the order in which it was done.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The container's name.
      type: str
    id:
      description: Its ID.
      type: str
    group:
      description: The capture group that it belongs to.
      type: str
    ready:
      description: Whether it became healthy, or runs where it has no health check.
      type: bool
      returned: when started
    down_seconds:
      description: How long it was down; in check mode, how long it has been so far.
      type: float
      returned: when started
    problem:
      description: What is wrong with it, empty when nothing is.
      type: str
      returned: when started
"""

from typing import Any, Dict, List, Sequence

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    load_config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.docker.engine import DockerClient
from ansible_collections.lepotato.backup.plugins.module_utils.docker.stopped_set import StoppedSet
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise
from ansible_collections.lepotato.backup.plugins.module_utils.provision.container_pause import (
    listed_facts,
    plan_stop,
    planned_facts,
    start_stopped,
    started_facts,
    stop_planned,
)


class ModuleJournal:
    """A journal over an Ansible module: warnings become the module's."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def info(self, message: str) -> None:
        self.module.debug(message)

    def warning(self, message: str) -> None:
        self.module.warn(message)

    def step(self, name: str) -> None:
        self.module.debug(f"step {name}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["stopped", "started"], "required": True},
            "paths": {"type": "list", "elements": "path", "default": []},
            "readers": {"type": "bool", "default": False},
            "config": {"type": "path", "default": "/etc/lepotato-backup/config.json"},
        },
        supports_check_mode=True,
    )
    try:
        with signals_raise():
            config = load_config(module.params["config"])
            docker = DockerClient(config.containers.socket)
            work = stop if module.params["state"] == "stopped" else start
            result = work(module, config, docker)
    except (BackupError, Interrupted) as error:
        module.fail_json(msg=str(error))
    problems = [item["problem"] for item in result["containers"] if item.get("problem")]
    if problems:
        module.fail_json(msg=f"Not all containers came back: {'; '.join(problems)}", **result)
    module.exit_json(**result)


def stop(module: AnsibleModule, config: Config, docker: DockerClient) -> Dict[str, Any]:
    """Stop what uses the data."""
    plan = plan_stop(config, docker, module.params["paths"], readers_too=module.params["readers"])
    for warning in plan.warnings:
        module.warn(warning)
    facts = planned_facts(plan)
    if not module.check_mode:
        stop_planned(config, docker, plan, ModuleJournal(module))
    return answer(facts, "running", "stopped")


def start(module: AnsibleModule, config: Config, docker: DockerClient) -> Dict[str, Any]:
    """Start what is on the list."""
    facts = listed_facts(StoppedSet(config.paths.state).entries())
    if facts and not module.check_mode:
        facts = started_facts(start_stopped(config, docker, ModuleJournal(module)))
    return answer(facts, "stopped", "running")


def answer(facts: Sequence[Dict[str, Any]], before: str, after: str) -> Dict[str, Any]:
    """The module's result with the diff of the containers' states."""
    return {
        "changed": bool(facts),
        "containers": list(facts),
        "diff": {"before": states(facts, before), "after": states(facts, after)},
    }


def states(facts: Sequence[Dict[str, Any]], state: str) -> str:
    """One line a container, for the diff."""
    lines: List[str] = [f"{item['name']}: {state}\n" for item in facts]
    return "".join(sorted(lines))


if __name__ == "__main__":
    main()
