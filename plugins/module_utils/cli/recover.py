# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command recover: what an interrupted run or restore left behind is put right."""

from __future__ import annotations

import argparse

from ..base.errors import EXIT_FAILED, EXIT_OK, EXIT_WARNINGS
from ..config.schema import load_config
from ..process.logs import RunLog
from ..process.run_lock import RunLock
from ..restore.in_place import recover_all
from .interrupted_runs import close_killed, tell_recovered
from .output import answer
from .preparation import prepared_state
from .run_log import log_handlers

NAME = "recover"
HELP = "start what an interrupted run left stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Finish or undo an interrupted restore in place, then start what a run left stopped."""
    config = load_config(arguments.config)
    state = prepared_state(config)
    with RunLock(state.lock):
        log = RunLog("recover", log_handlers(config, arguments))
        result = recover_all(config, log)
        close_killed(config, log)
        tell_recovered(result, log)
        log.close()
    if arguments.json:
        answer(
            {
                "started": list(result.started),
                "already_running": list(result.already_running),
                "gone": list(result.gone),
                "failed": list(result.failed),
                "warnings": list(result.warnings),
            }
        )
    if result.failed:
        return EXIT_FAILED
    return EXIT_WARNINGS if result.warnings else EXIT_OK
