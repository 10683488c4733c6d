# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command start: the compose projects come up after a disaster."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys

from ..base.errors import EXIT_FAILED, EXIT_OK
from ..config.schema import load_config
from ..docker.compose_up import bring_up
from ..process.logs import RunLog, stream_handler
from ..process.run_lock import RunLock
from ..process.runner import SubprocessRunner
from ..restore.in_place import recover_all
from .output import answer, say
from .preparation import prepared_state

NAME = "start"
HELP = "bring up the compose projects, after a restore onto a blank board"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Bring up every compose project of the compose tree; 1 when one is not well."""
    config = load_config(arguments.config)
    with RunLock(prepared_state(config).lock):
        log = RunLog("start", [stream_handler(sys.stderr, logging.INFO)])
        recover_all(config, log)
        projects = bring_up(config, SubprocessRunner(), log)
        log.close()
    if arguments.json:
        answer([dataclasses.asdict(project) for project in projects])
    else:
        for project in projects:
            say(f"{project.directory}: {', '.join(project.healthy) or 'nothing'} healthy")
            for problem in project.problems:
                say(f"  {problem}")
    return EXIT_FAILED if any(project.problems for project in projects) else EXIT_OK
