# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore --target and --from-downloaded: a restore point, or a part of it, in a directory."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from typing import Any, Dict, Iterator

from ..base.errors import EXIT_OK, EXIT_WARNINGS
from ..base.paths import free_bytes_at, is_below
from ..base.printable import printable
from ..base.progress import ProgressBar, human_bytes, human_seconds
from ..points.model import Seal
from ..process.logs import RunLog, stream_handler
from ..restore.directory import (
    WORK_DIRECTORY,
    RestoreResult,
    check_free,
    check_place,
    check_target,
    finish_target,
    restore_point,
)
from ..restore.downloaded import apply_downloaded
from ..restore.selection import Chooser, Selected
from .confirmation import ask
from .damage import checksums_told, earlier_of, tell_issues
from .origin import Asked
from .output import answer, say
from .restore_download import bars, expected_seconds, settle_unfinished
from .restore_options import wanted_point, wish_of


def into_target(
    arguments: argparse.Namespace,
    asked: Asked,
    seal: Seal,
    manifest: str,
    chooser: Chooser,
    selected: Selected,
) -> int:
    """Restore a point, or a part of it, into the directory that ``--target`` names."""
    target = os.path.abspath(arguments.target)
    check_place(target, asked.config.paths.staging)
    resumes = check_target(target, seal, chooser.wish)
    if not resumes:
        check_free(target, seal, selected)
    ask(
        arguments,
        f"{'go on with' if resumes else 'restore'} {chooser.wish.told()} of {seal.id} of "
        f"{seal.host} to {target}",
        f"{selected.files} files, {human_bytes(selected.bytes)}; "
        f"{human_bytes(free_bytes_at(target))} free there; "
        f"about {human_seconds(expected_seconds(selected))} at 100 Mbit/s",
        *_sources_around(target, asked),
    )
    log = RunLog("restore", [stream_handler(sys.stderr, logging.INFO)])
    settle_unfinished(asked, log)
    started = time.monotonic()
    with bars(selected) as watchers:
        result = restore_point(
            asked.download,
            log,
            seal,
            manifest,
            target,
            wish=chooser.wish,
            select=None if chooser.wish.is_whole else chooser,
            watchers=watchers,
            accept_damaged=arguments.accept_damaged,
            earlier=earlier_of(asked, seal, target, log),
        )
    finish_target(target)
    _say_restored(arguments, log, result, time.monotonic() - started)
    log.close()
    return EXIT_WARNINGS if log.warnings else EXIT_OK


def finish_downloaded(arguments: argparse.Namespace) -> int:
    """Make a restored tree of what plain rclone has downloaded."""
    log = RunLog("restore", [stream_handler(sys.stderr, logging.INFO)])
    wanted = wanted_point(arguments) if arguments.point else "daily"
    meter = ProgressBar(sys.stderr, "check")
    started = time.monotonic()
    try:
        result = apply_downloaded(
            os.path.abspath(arguments.from_downloaded), wanted, wish_of(arguments), log
        )
    finally:
        meter.end()
    _say_restored(arguments, log, result, time.monotonic() - started)
    log.close()
    return EXIT_WARNINGS if log.warnings else EXIT_OK


def _sources_around(target: str, asked: Asked) -> Iterator[str]:
    for source in asked.sources:
        for path in source.paths:
            if is_below(os.path.realpath(target), os.path.realpath(path)):
                yield f"nights will back it up again there: it lies in the source {path}"


def _say_restored(
    arguments: argparse.Namespace, log: RunLog, result: RestoreResult, seconds: float
) -> None:
    tell_issues(log, result)
    for path in result.applied.extras:
        if os.fsdecode(path) != WORK_DIRECTORY:
            log.warning(f"{printable(path)} is in the target and not in {result.seal.id}")
    if arguments.json:
        answer(_result_told(result))
        return
    say(
        f"restored {result.seal.id} to {result.target} in {human_seconds(seconds)}: "
        f"{result.applied.verified_files} files, "
        f"{human_bytes(result.applied.verified_bytes)}, "
        f"{checksums_told(result.applied.problems_total)}"
    )


def _result_told(result: RestoreResult) -> Dict[str, Any]:
    return {
        "point": result.seal.id,
        "target": result.target,
        "files": result.applied.verified_files,
        "bytes": result.applied.verified_bytes,
        "entries": result.applied.entries,
        "attempts": result.attempts,
        "damaged": result.applied.problems_total,
        "warnings": [
            {"path": os.fsdecode(issue.path), "reason": issue.reason}
            for issue in result.applied.warnings
        ],
    }
