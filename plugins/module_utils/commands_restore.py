# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands around restore points: snapshots, restore, verify."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import time
from typing import Any, Dict, Sequence

from .answers import answer, say
from .b2_errors import B2Denied
from .commands_night import prepared_state
from .config import Config, load_config
from .errors import EXIT_OK, EXIT_WARNINGS, BackupError, ConfigError, LockHeld
from .lock import RunLock
from .logs import RunLog, stream_handler
from .progress import ProgressBar, human_bytes, human_seconds
from .rclone import Rclone
from .remote_conf import read_remote
from .remote_count import prove_count
from .restore import (
    RestoreResult,
    check_target,
    find_point,
    free_bytes_at,
    read_seals,
    restore_point,
)
from .restore_points import Seal
from .runner import SubprocessRunner
from .upload import cancel_unfinished

# The board's Ethernet (DESIGN, "For whom"): no restore to it is faster than this.
LINK_BYTES_PER_SECOND = 100e6 / 8


def snapshots(arguments: argparse.Namespace) -> int:
    """List the restore points in the bucket, oldest first."""
    config = load_config(arguments.config)
    seals = read_seals(_rclone(config))
    if arguments.json:
        answer([_seal_told(seal) for seal in seals])
    elif not seals:
        say("no night has been sealed yet")
    else:
        _say_table(seals)
    return EXIT_OK


def restore(arguments: argparse.Namespace) -> int:
    """Restore one point into a directory; without a point, list them."""
    if arguments.point is None:
        return snapshots(arguments)
    config = load_config(arguments.config)
    if not arguments.target:
        raise ConfigError(
            "restore needs a directory to restore into",
            "Name an empty or new one with --target DIR; live data is never touched",
        )
    target = os.path.abspath(arguments.target)
    rclone = _rclone(config)
    seal = find_point(rclone, _wanted(arguments))
    resumes = check_target(target, seal)
    _ask(arguments, seal, target, resumes)
    log = RunLog("restore", [stream_handler(sys.stderr, logging.INFO)])
    _cancel_unfinished(config, log)
    bar = ProgressBar(sys.stderr, "restore", seal.upload.bytes)
    started = time.monotonic()
    try:
        result = restore_point(rclone, log, seal, target, bar.transfer)
    finally:
        bar.end()
    for issue in result.applied.warnings:
        log.warning(f"{os.fsdecode(issue.path)}: {issue.reason}")
    spent = human_seconds(time.monotonic() - started)
    if arguments.json:
        answer(_result_told(result))
    else:
        say(
            f"restored {seal.id} to {target} in {spent}: {result.applied.verified_files} files, "
            f"{human_bytes(result.applied.verified_bytes)}, every checksum right"
        )
    log.close()
    return EXIT_WARNINGS if result.applied.warnings_total else EXIT_OK


def verify(arguments: argparse.Namespace) -> int:
    """Compare the newest restore point with what the bucket holds."""
    config = load_config(arguments.config)
    proof = prove_count(_rclone(config), config.paths.state)
    if arguments.json:
        answer(dataclasses.asdict(proof))
    else:
        say(
            f"{proof.point} is in the bucket as it was sealed: {proof.found.files} files, "
            f"{human_bytes(proof.found.bytes)}"
        )
    return EXIT_OK


def _rclone(config: Config) -> Rclone:
    return Rclone(config.rclone, SubprocessRunner())


def _wanted(arguments: argparse.Namespace) -> str:
    """The point a person means by POINT and DATE."""
    if arguments.point == "weekly":
        raise ConfigError(
            "this version makes no weekly points",
            "Every night is kept: name one with daily DATE, or a time",
        )
    if arguments.date is None:
        return str(arguments.point)
    if arguments.point != "daily":
        raise ConfigError(f"'{arguments.date}' is one argument too many", "Say daily DATE")
    return str(arguments.date)


def _ask(arguments: argparse.Namespace, seal: Seal, target: str, resumes: bool) -> None:
    fastest = human_seconds(seal.upload.bytes / LINK_BYTES_PER_SECOND)
    sys.stderr.write(
        f"{'go on with' if resumes else 'restore'} {seal.id} of {seal.host} to {target}\n"
        f"  {seal.total.files} files, {human_bytes(seal.total.bytes)}; "
        f"{human_bytes(free_bytes_at(target))} free there; at 100 Mbit/s {fastest} at least\n"
    )
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is there to ask whether to start", "Add --yes for an unattended restore"
        )
    sys.stderr.write("Start? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BackupError("not started", "Nothing was changed")


def _cancel_unfinished(config: Config, log: RunLog) -> None:
    """An unfinished large upload hides the good version of its file from the restore."""
    client = read_remote(
        config.rclone.config, config.rclone.raw_remote, config.rclone.crypt_remote
    ).client()
    try:
        with RunLock(prepared_state(config).lock):
            cancel_unfinished(config, client, log)
    except LockHeld as error:
        log.warning(f"unfinished uploads are left alone: {error.message}")
    except B2Denied as error:
        # A key for restores only (listFiles, readFiles) may list them but not cancel them.
        log.warning(f"unfinished uploads can't be cancelled with this key: {error.message}")


def _say_table(seals: Sequence[Seal]) -> None:
    say(f"{'point':<18}{'kind':<8}{'files':>10}{'size':>12}  sealed")
    for seal in seals:
        total = seal.total
        say(
            f"{seal.id:<18}{'daily':<8}{total.files:>10}{human_bytes(total.bytes):>12}  "
            f"{seal.sealed_at}"
        )
    say("restore one with: restore-from-b2.sh daily [DATE] --target DIR")


def _seal_told(seal: Seal) -> Dict[str, Any]:
    total = seal.total
    return {
        "id": seal.id,
        "kind": "daily",
        "host": seal.host,
        "started_at": seal.started_at,
        "sealed_at": seal.sealed_at,
        "files": total.files,
        "bytes": total.bytes,
        "trees": {tree: dataclasses.asdict(amount) for tree, amount in seal.trees.items()},
    }


def _result_told(result: RestoreResult) -> Dict[str, Any]:
    return {
        "point": result.seal.id,
        "target": result.target,
        "files": result.applied.verified_files,
        "bytes": result.applied.verified_bytes,
        "entries": result.applied.entries,
        "attempts": result.attempts,
        "warnings": [
            {"path": os.fsdecode(issue.path), "reason": issue.reason}
            for issue in result.applied.warnings
        ],
    }
