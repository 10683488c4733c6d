# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands around a night: run, recover, containers, status, check-config."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from typing import List, Optional

from ..base.errors import EXIT_FAILED, EXIT_OK, EXIT_WARNINGS, BackupError
from ..base.progress import ProgressBar, human_bytes, human_seconds
from ..base.state_files import StateFiles
from ..capture.plan import make_plan
from ..config.schema import Config, load_config
from ..cost.ledger import read_cost
from ..docker.engine import DockerClient
from ..docker.stop_start import RecoverResult
from ..filesystem.mounts import read_mounts
from ..night.context import Night, NightOptions
from ..night.cost_books import cost_lines, cost_told
from ..night.run import run_night
from ..night.run_record import (
    RunRecord,
    Stopwatch,
    begin_record,
    close_killed_records,
    read_last_record,
    store_record,
)
from ..process.guardian import guarded
from ..process.logs import RunLog, file_handler, stream_handler, syslog_handler
from ..process.run_lock import RunLock
from ..process.runner import SubprocessRunner
from ..process.signal_shield import shielded
from ..restore.in_place import recover_all
from ..staging.area import require_ssd
from .output import answer, say

# A recovery or a restore that ends unfinished uploads holds the lock for a moment: no night is
# lost for that.
LOCK_WAIT_SECONDS = 5.0


def run(arguments: argparse.Namespace) -> int:
    """Do the night, and write its record whatever ends it."""
    config = load_config(arguments.config)
    state = prepared_state(config)
    # A dry run stops nothing.
    recover_after = [] if arguments.dry_run else recover_command(arguments)
    with RunLock(state.lock, LOCK_WAIT_SECONDS), guarded(recover_after):
        record = RunRecord(config.host, time.time(), dry_run=arguments.dry_run)
        log = RunLog(record.id, _handlers(config, arguments))
        error: Optional[BaseException] = None
        try:
            options = NightOptions(
                dry_run=arguments.dry_run,
                accept_shrink=arguments.accept_shrink,
                accept_disks=arguments.accept_disks,
                progress=lambda label: ProgressBar(sys.stderr, label),
            )
            log.info(f"{'dry run' if options.dry_run else 'run'} {record.id} of {config.host}")
            if not options.dry_run:
                # Before anything that may fail: what an interrupted run stopped comes back even
                # when rclone.conf is gone or the SSD is full.
                with Stopwatch(record, "recover"):
                    log.step("recover")
                    _tell_recovered(recover_all(config, log), log)
                _close_killed(config, log)
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


def recover(arguments: argparse.Namespace) -> int:
    """Finish or undo an interrupted restore in place, then start what a run left stopped."""
    config = load_config(arguments.config)
    state = prepared_state(config)
    with RunLock(state.lock):
        log = RunLog("recover", _handlers(config, arguments))
        result = recover_all(config, log)
        _close_killed(config, log)
        _tell_recovered(result, log)
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


def containers(arguments: argparse.Namespace) -> int:
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


def status(arguments: argparse.Namespace) -> int:
    """Tell how the last run ended; the exit code is that of the run."""
    config = load_config(arguments.config)
    record = read_last_record(config.paths.state)
    # With today's prices; the calls are those of the run.
    cost = cost_told(config.cost, read_cost(StateFiles(config.paths.state).cost))
    record["cost"] = {**cost, "calls": record.get("cost", {}).get("calls")}
    if arguments.json:
        answer(record)
        return int(record["exit_code"])
    say(f"{record['outcome']}: run {record['id']} of {record['host']}")
    say(f"  ended {record['ended_at']} after {human_seconds(record['duration_seconds'])}")
    if record["error"]:
        where = f" in {record['step']}" if record["step"] else ""
        say(f"  error{where}: {record['error']}")
    for warning in record["warnings"]:
        say(f"  warning: {warning}")
    upload = record.get("upload")
    if upload:
        say(f"  sent {upload['files']} files, {human_bytes(upload['bytes'])}")
    for group in record.get("capture", {}).get("groups", ()):
        for name, seconds in group["down_seconds"].items():
            say(f"  {name} was down {seconds:.1f} s")
    for line in cost_lines(record["cost"]):
        say(f"  {line}")
    return int(record["exit_code"])


def check_config(arguments: argparse.Namespace) -> int:
    """Check a configuration file and say that it is right."""
    path = arguments.file or arguments.config
    config = load_config(path)
    if arguments.json:
        answer({"path": path, "host": config.host, "valid": True})
    else:
        say(f"{path} is right: {len(config.sources)} trees of {config.host}")
    return EXIT_OK


def _tell_recovered(result: RecoverResult, log: RunLog) -> None:
    for name in result.started:
        log.info(f"started {name}, which an interrupted run had left stopped")
    for name in result.failed:
        log.error(f"{name} could not be started; the next run tries again")


def _close_killed(config: Config, log: RunLog) -> None:
    try:
        for identifier in close_killed_records(config.paths.state):
            log.info(f"run {identifier} was killed before it ended")
    except OSError as error:
        # Containers are what counts: a full disk must not end a recovery with a failure.
        log.warning(f"the record of a killed run can't be closed: {error}")


def recover_command(arguments: argparse.Namespace) -> List[str]:
    """What starts the containers again if this process is killed: :mod:`..process.guardian`."""
    called_as: List[str] = arguments.called_as
    return [*called_as, "--config", arguments.config, "recover"] if called_as else []


def prepared_state(config: Config) -> StateFiles:
    """The state files, in a directory that exists and is private."""
    try:
        os.makedirs(config.paths.state, mode=0o700, exist_ok=True)
    except OSError as error:
        raise BackupError(
            f"paths.state: {config.paths.state} can't be made: {error.strerror}",
            "Run as root",
        ) from error
    return StateFiles(config.paths.state)


def _handlers(config: Config, arguments: argparse.Namespace) -> List[logging.Handler]:
    """Where a run tells: the log on the SSD, the terminal; without the SSD syslog and stderr."""
    is_person = sys.stderr.isatty() or getattr(arguments, "dry_run", False)
    handlers = [stream_handler(sys.stderr, logging.INFO if is_person else logging.WARNING)]
    try:
        # An SSD that is not mounted would leave the log on the SD card, below the mount point.
        require_ssd(config.paths.ssd, read_mounts())
        if not getattr(arguments, "dry_run", False):
            os.makedirs(os.path.dirname(config.paths.log), mode=0o755, exist_ok=True)
            handlers.append(file_handler(config.paths.log))
    except (BackupError, OSError) as error:
        handlers[0].setLevel(logging.INFO)
        syslog = syslog_handler()
        if syslog is not None:
            handlers.append(syslog)
        sys.stderr.write(f"the log {config.paths.log} can't be written: {error}\n")
    return handlers


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
