# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command containers: what a night stops, and what it leaves running."""

from __future__ import annotations

import argparse

from ..base.errors import EXIT_OK
from ..capture.plan import make_plan
from ..config.schema import load_config
from ..docker.engine import DockerClient
from .output import answer, say

NAME = "containers"
HELP = "tell what a night stops, and in which order"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Tell what a night would stop, in which order, and what it leaves running and why."""
    config = load_config(arguments.config)
    plan = make_plan(config, DockerClient(config.containers.socket))
    if arguments.json:
        answer(
            {
                "groups": [
                    {
                        "name": group.name,
                        "stop_order": [member.name for member in group.members],
                        "paths": {tree: list(paths) for tree, paths in group.paths.items()},
                    }
                    for group in plan.groups
                ],
                "kept_running": {item.container.name: item.reason for item in plan.kept},
                "warnings": list(plan.warnings),
            }
        )
        return EXIT_OK
    for group in plan.groups:
        say(f"{group.name}: stop {', '.join(member.name for member in group.members)}")
        for paths in group.paths.values():
            for path in paths:
                say(f"    {path}")
    for item in plan.kept:
        say(f"{item.container.name} keeps running: {item.reason}")
    for warning in plan.warnings:
        say(f"warning: {warning}")
    return EXIT_OK
