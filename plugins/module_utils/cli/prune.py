# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command prune: restore points that are too old go."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from typing import List

from ..base.errors import EXIT_OK, EXIT_WARNINGS, BackupError
from ..config.schema import Config
from ..points.model import ids_of_seals
from ..points.prune import judge, judge_leftovers
from ..points.prune import prune as prune_points
from ..points.retention import LOCAL, Verdict
from ..points.store import PointStore
from ..points.true_clock import require_true_clock
from ..points.verified import prove_and_note
from ..points.weekly import local_date
from ..points.weekly_local import LocalWeeklies
from ..process.logs import RunLog, stream_handler
from ..process.run_lock import RunLock
from ..process.runner import SubprocessRunner
from ..rclone.conf import read_remote
from ..second.prune import prune_second_now
from .origin import open_asked
from .output import answer, say
from .places import BUCKET, SECOND, SSD
from .preparation import prepared_state

NAME = "prune"
HELP = "remove restore points that are too old"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether it only tells."""
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, tell what and why")


def run(arguments: argparse.Namespace) -> int:
    """Remove what is too old, or with ``--dry-run`` tell what would go and why.

    Raises :class:`..base.errors.BackupError` unless the newest night is whole in the bucket. A
    second destination that is not there, or whose newest night is not whole, is a warning.
    """
    asked = open_asked(arguments)
    config, rclone = asked.config, asked.rclone
    remote = read_remote(config.rclone.config, config.rclone.raw_remote, config.rclone.crypt_remote)
    client = remote.client()
    store = PointStore(rclone, client, remote)
    local = LocalWeeklies(config, SubprocessRunner())
    log = RunLog("prune", [stream_handler(sys.stderr, logging.INFO)])
    with RunLock(prepared_state(config).lock):
        names = store.points()
        # With a clock that is a month ahead every point would be too old.
        skew_seconds = client.authorization.clock_skew_seconds
        require_true_clock(skew_seconds, max(ids_of_seals(names), default=""), time.time())
        verdicts = judge(config, names, local, local_date(time.time()))
        verdicts += judge_leftovers(rclone, names)
        if not arguments.dry_run:
            prove_and_note(rclone, config, time.time())
            prune_points(verdicts, rclone, store, names, local, log)
        second = _prune_second(config, log, arguments.dry_run) if config.second.enabled else []
    log.close()
    # The kind tells what lies on the SSD.
    told = [("", verdict) for verdict in verdicts] + [(SECOND, verdict) for verdict in second]
    if arguments.json:
        answer(
            [
                {**dataclasses.asdict(verdict), "destination": place or _destination(verdict)}
                for place, verdict in told
            ]
        )
    else:
        goes = "would go" if arguments.dry_run else "went"
        for place, verdict in told:
            what = goes if verdict.expired else "stays"
            kind = f"{place} {verdict.kind}".strip()
            say(f"{what:<9} {kind:<15} {verdict.name:<18} {verdict.reason}")
    return EXIT_WARNINGS if log.warnings else EXIT_OK


def _prune_second(config: Config, log: RunLog, dry_run: bool) -> List[Verdict]:
    """The second destination's part, which is not there every day."""
    today = local_date(time.time())
    try:
        return prune_second_now(config, SubprocessRunner(), log, today, dry_run=dry_run)
    except BackupError as error:
        log.warning(f"the second destination is left as it is: {error}")
        return []


def _destination(verdict: Verdict) -> str:
    return SSD if verdict.kind == LOCAL else BUCKET
