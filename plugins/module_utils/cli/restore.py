# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that read restore points: restore and verify."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
import tempfile
import time
from typing import Any, Dict, Iterator

from ..base.errors import EXIT_OK, EXIT_WARNINGS, ConfigError
from ..base.paths import free_bytes_at, is_below
from ..base.progress import ProgressBar, human_bytes, human_seconds
from ..points.model import Seal
from ..points.verified import prove_and_note
from ..process.logs import RunLog, stream_handler
from ..restore.directory import (
    WORK_DIRECTORY,
    RestoreResult,
    check_free,
    check_place,
    check_target,
    fetch_manifest,
    find_point,
    finish_target,
    restore_point,
)
from ..restore.downloaded import apply_downloaded
from ..restore.selection import Chooser, Selected, measure
from ..second.read import prove_second
from .output import answer, say
from .replaced import forget, list_replaced
from .restore_in_place import compare, in_place
from .restore_options import (
    Asked,
    ask,
    bars,
    expected_seconds,
    open_asked,
    settle_unfinished,
    wanted_point,
    wish_of,
)
from .run import prepared_state
from .snapshots import snapshots


def restore(arguments: argparse.Namespace) -> int:
    """Restore one point, or a part of it; without a point, list them."""
    if arguments.from_downloaded:
        return _downloaded(arguments)
    if arguments.replaced:
        return list_replaced(arguments)
    if arguments.forget_replaced is not None:
        return forget(arguments)
    if arguments.point is None:
        return snapshots(arguments)
    _check_where(arguments)
    asked = open_asked(arguments)
    seal = find_point(asked.rclone, wanted_point(arguments))
    with _manifest_of(asked, seal, arguments.target) as manifest:
        chooser = Chooser(wish_of(arguments), asked.sources)
        selected = measure(manifest, chooser)
        if arguments.check:
            return compare(arguments, asked, seal, manifest, chooser)
        if arguments.in_place:
            return in_place(arguments, asked, seal, manifest, chooser, selected)
        return _into_target(arguments, asked, seal, manifest, chooser, selected)


def verify(arguments: argparse.Namespace) -> int:
    """Compare the newest restore point with what the bucket, or the second destination, holds."""
    asked = open_asked(arguments)
    state = prepared_state(asked.config)
    if asked.is_second:
        where = "on the second destination"
        proof = prove_second(asked.rclone, state.directory)
    else:
        where = "in the bucket"
        proof = prove_and_note(asked.rclone, asked.config, time.time())
    if arguments.json:
        answer(dataclasses.asdict(proof))
    else:
        say(
            f"{proof.point} is {where} as it was sealed: {proof.found.files} files, "
            f"{human_bytes(proof.found.bytes)}"
        )
    return EXIT_OK


def _check_where(arguments: argparse.Namespace) -> None:
    if arguments.target == "":
        raise ConfigError("the target has no name", "Say --target DIR; is a variable empty?")
    chosen = [arguments.target is not None, arguments.in_place, arguments.check]
    if sum(chosen) != 1:
        raise ConfigError(
            "restore needs to know where to",
            "Say --target DIR (an empty or new directory), --in-place (replaces live data and "
            "keeps it aside) or --check (compares and changes nothing)",
        )


@contextlib.contextmanager
def _manifest_of(asked: Asked, seal: Seal, target: str) -> Iterator[str]:
    """The point's manifest: from an interrupted restore, or downloaded for the time being."""
    kept = os.path.join(target or "", WORK_DIRECTORY, "manifest.jsonl.gz")
    if target and os.path.exists(kept):
        fetch_manifest(asked.rclone, seal, kept)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        path = os.path.join(directory, "manifest.jsonl.gz")
        fetch_manifest(asked.rclone, seal, path)
        yield path


def _into_target(
    arguments: argparse.Namespace,
    asked: Asked,
    seal: Seal,
    manifest: str,
    chooser: Chooser,
    selected: Selected,
) -> int:
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
        )
    finish_target(target)
    _say_restored(arguments, log, result, time.monotonic() - started)
    log.close()
    return EXIT_WARNINGS if log.warnings else EXIT_OK


def _sources_around(target: str, asked: Asked) -> Iterator[str]:
    for source in asked.sources:
        for path in source.paths:
            if is_below(os.path.realpath(target), os.path.realpath(path)):
                yield f"nights will back it up again there: it lies in the source {path}"


def _downloaded(arguments: argparse.Namespace) -> int:
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


def _say_restored(
    arguments: argparse.Namespace, log: RunLog, result: RestoreResult, seconds: float
) -> None:
    for issue in result.applied.warnings:
        log.warning(f"{os.fsdecode(issue.path)}: {issue.reason}")
    for path in result.applied.extras:
        if os.fsdecode(path) != WORK_DIRECTORY:
            log.warning(f"{os.fsdecode(path)} is in the target and not in {result.seal.id}")
    if arguments.json:
        answer(_result_told(result))
        return
    say(
        f"restored {result.seal.id} to {result.target} in {human_seconds(seconds)}: "
        f"{result.applied.verified_files} files, "
        f"{human_bytes(result.applied.verified_bytes)}, every checksum right"
    )


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
