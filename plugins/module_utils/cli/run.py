# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command run: a night, with its log and its record."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Optional

from ..base.progress import ProgressBar, human_seconds
from ..config.schema import Config, load_config
from ..night.context import Night, NightOptions
from ..night.run import run_night
from ..night.run_record import RunRecord, Stopwatch, begin_record, store_record
from ..process.guardian import guarded
from ..process.logs import RunLog
from ..process.run_lock import RunLock
from ..process.runner import SubprocessRunner
from ..process.signal_shield import shielded
from ..restore.in_place import recover_all
from .interrupted_runs import close_killed, tell_recovered
from .output import answer
from .preparation import prepared_state, recover_command
from .run_log import log_handlers

NAME = "run"
HELP = "do the night: capture, upload, seal"

# A recovery or a restore that ends unfinished uploads holds the lock for a moment: no night is
# lost for that.
LOCK_WAIT_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a person accepts this once, and whether anything is done at all."""
    parser.add_argument(
        "--dry-run", action="store_true", help="touch nothing, say what would be done"
    )
    parser.add_argument(
        "--accept-shrink",
        action="store_true",
        help="this once, accept that a source lost most of its files",
    )
    parser.add_argument(
        "--accept-disks",
        action="store_true",
        help="this once, accept that the SSD or a source lies on another disk than was recorded",
    )
    parser.add_argument(
        "--accept-writer",
        action="store_true",
        help="this once, accept that another board, switched off by now, wrote to this prefix",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the night, and write its record whatever ends it."""
    config = load_config(arguments.config)
    state = prepared_state(config)
    # A dry run stops nothing.
    recover_after = [] if arguments.dry_run else recover_command(arguments)
    with RunLock(state.lock, LOCK_WAIT_SECONDS), guarded(recover_after):
        record = RunRecord(config.host, time.time(), dry_run=arguments.dry_run)
        log = RunLog(record.id, log_handlers(config, arguments))
        error: Optional[BaseException] = None
        try:
            options = NightOptions(
                dry_run=arguments.dry_run,
                accept_shrink=arguments.accept_shrink,
                accept_disks=arguments.accept_disks,
                accept_writer=arguments.accept_writer,
                progress=lambda label: ProgressBar(sys.stderr, label),
            )
            log.info(f"{'dry run' if options.dry_run else 'run'} {record.id} of {config.host}")
            if not options.dry_run:
                # Before anything that may fail: what an interrupted run stopped comes back even
                # when rclone.conf is gone or the SSD is full.
                with Stopwatch(record, "recover"):
                    log.step("recover")
                    tell_recovered(recover_all(config, log), log)
                close_killed(config, log)
                # What can't be kept now can't be kept at the end, which tells it.
                with contextlib.suppress(OSError):
                    begin_record(config.paths.state, record)
            run_night(Night(config, SubprocessRunner(), log, options, record))
        except BaseException as caught:
            error = caught
            raise
        finally:
            # A second signal must not cost the record.
            with shielded():
                _finish(config, record, log, error)
                _tell_ending(record, log)
                log.close()
    if arguments.json:
        answer(record.to_json())
    return record.exit_code


def _finish(config: Config, record: RunRecord, log: RunLog, error: Optional[BaseException]) -> None:
    record.finish(error, log.warnings, log.current_step)
    if record.dry_run:
        return
    try:
        store_record(config.paths.state, record)
    except OSError as failure:
        # The night is what it is: only who asks for its record later gets that of another one.
        log.warning(f"the run record can't be kept: {failure}")
        record.finish(error, log.warnings, log.current_step)


def _tell_ending(record: RunRecord, log: RunLog) -> None:
    if record.error:
        log.error(f"{record.outcome} in {record.step}: {record.error}")
    else:
        spent = human_seconds(record.ended_epoch_seconds - record.started_epoch_seconds)
        log.info(f"{record.outcome} after {spent}, exit code {record.exit_code}")
