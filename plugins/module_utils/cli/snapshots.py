# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command snapshots: all restore points, wherever they lie."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from datetime import date, datetime, timedelta, timezone
from typing import Any, Dict, List, Sequence

from ..base.errors import EXIT_OK, EXIT_WARNINGS
from ..base.progress import human_bytes
from ..base.state_files import StateFiles
from ..config.schema import DAYS_PER_WEEK, Config
from ..cost.prices import month_usd
from ..points.model import Seal, epoch_of_point, rfc3339
from ..points.read import Points, read_points
from ..points.store import encrypted_amount
from ..points.verified import Verification, read_verified, verified_of
from ..points.weekly import COPY, WeeklyPoint, date_of, local_date
from ..points.weekly_local import LocalWeeklies
from ..process.runner import SubprocessRunner
from .origin import add_origin, open_asked
from .output import answer, say
from .places import BUCKET, SSD
from .replaced import say_replaced
from .second_points import points_on_second, say_second, second_told

NAME = "snapshots"
HELP = "list the restore points"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which place it asks."""
    add_origin(parser)


def run(arguments: argparse.Namespace) -> int:
    """List all restore points: in the bucket and on the SSD, nights and weekly points."""
    asked = open_asked(arguments)
    points = Points() if asked.is_second else read_points(asked.rclone)
    second = points_on_second(asked)
    local = _local_told(asked.config) if asked.is_board and not asked.is_second else []
    # Another machine knows what the seals say, and nothing that happened on the board since.
    known = read_verified(StateFiles(asked.config.paths.state)) if asked.is_board else {}
    problems = [*points.problems, *(second.problems if second is not None else ())]
    for problem in problems:
        sys.stderr.write(f"a point that can't be restored: {problem}\n")
    code = EXIT_WARNINGS if problems else EXIT_OK
    if arguments.json:
        newest = points.nights[-1] if points.nights else None
        answer(
            [_night_told(seal, asked.config, seal is newest, known) for seal in points.nights]
            + [_weekly_told(point, asked.config, known) for point in points.weeklies]
            + local
            + (second_told(second, _seal_told) if second else [])
        )
        return code
    if not asked.is_second:
        _say_points(points, local, asked.config, known)
    if second is not None:
        say_second(second, asked.config)
    if asked.is_board:
        say_replaced(asked.config)
    return code


def history_ends_at(seal: Seal, config: Config) -> str:
    """Until when B2 keeps every version that *seal* needs, at least (RFC 3339)."""
    sealed_at = datetime.strptime(seal.sealed_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return rfc3339((sealed_at + timedelta(days=config.retention.history_days)).timestamp())


def _night_told(
    seal: Seal, config: Config, is_newest: bool, known: Dict[str, Verification]
) -> Dict[str, Any]:
    kept_until = local_date(epoch_of_point(seal.id)) + timedelta(days=config.retention.daily_days)
    return {
        **_seal_told(seal),
        **_verified_told(verified_of(seal, known)),
        "id": seal.id,
        "kind": "daily",
        "destination": BUCKET,
        "kept_until": kept_until.isoformat(),
        # The newest needs no old versions: it stays whole while nothing replaces it.
        "restorable_until": None if is_newest else history_ends_at(seal, config),
    }


def _weekly_told(
    point: WeeklyPoint, config: Config, known: Dict[str, Verification]
) -> Dict[str, Any]:
    is_copy = point.mode == COPY
    stored_bytes = encrypted_amount(point.seal.upload) if is_copy else 0
    return {
        **_seal_told(point.seal),
        **_verified_told(_weekly_verified(point, known)),
        "id": f"weekly/{point.name}",
        "kind": "weekly",
        "destination": BUCKET,
        "mode": point.mode,
        "point": point.seal.id,
        "kept_until": _weekly_kept_until(date_of(point.name), config).isoformat(),
        "restorable_until": None if is_copy else history_ends_at(point.seal, config),
        "stored_bytes": stored_bytes,
        "month_usd": round(month_usd(config.cost, stored_bytes), 6),
    }


def _weekly_kept_until(day: date, config: Config) -> date:
    return day + timedelta(days=config.weekly.keep_weeks * DAYS_PER_WEEK)


def _seal_told(seal: Seal) -> Dict[str, Any]:
    total = seal.total
    return {
        "host": seal.host,
        "started_at": seal.started_at,
        "sealed_at": seal.sealed_at,
        "files": total.files,
        "bytes": total.bytes,
        "trees": {tree: dataclasses.asdict(amount) for tree, amount in seal.trees.items()},
    }


def _weekly_verified(point: WeeklyPoint, known: Dict[str, Verification]) -> Verification:
    # A copy has objects of its own, counted when they were made; a reference is its night.
    if point.mode == COPY:
        return Verification(point.made_at)
    return verified_of(point.seal, known)


def _verified_told(verified: Verification) -> Dict[str, Any]:
    return {
        "verified_at": verified.at,
        "verified_how": verified.how,
        "verified_error": verified.error,
    }


def _local_told(config: Config) -> List[Dict[str, Any]]:
    local = LocalWeeklies(config, SubprocessRunner())
    return [
        {
            "id": f"local/{name}",
            "kind": "local weekly",
            "destination": SSD,
            "path": os.path.join(local.directory, name),
            "kept_until": _weekly_kept_until(date_of(name), config).isoformat(),
        }
        for name in local.names()
    ]


def _say_points(
    points: Points,
    local: Sequence[Dict[str, Any]],
    config: Config,
    known: Dict[str, Verification],
) -> None:
    if points.nights or points.weeklies:
        say(f"{'point':<26}{'kind':<8}{'files':>10}{'size':>12}  verified")
    else:
        say("no night has been sealed yet")
    for seal in points.nights:
        _say_row(seal.id, "daily", seal, verified_of(seal, known))
    for point in points.weeklies:
        _say_row(f"weekly/{point.name}", "weekly", point.seal, _weekly_verified(point, known))
        if point.mode == COPY:
            stored = encrypted_amount(point.seal.upload)
            say(
                f"    a copy of its own: {human_bytes(stored)} in the bucket, about "
                f"{month_usd(config.cost, stored):.2f} USD a month"
            )
        else:
            until = history_ends_at(point.seal, config)
            say(f"    by reference to {point.seal.id}: no bytes of its own, whole until {until}")
    for told in local:
        say(f"{told['path']}: on the SSD, hard links")
    if points.nights or points.weeklies:
        say(
            "restore one with: restore-from-b2.sh daily|weekly [DATE] --target DIR\n"
            f"nights live on the bucket's version history of {config.retention.history_days} days"
        )


def _say_row(name: str, kind: str, seal: Seal, verified: Verification) -> None:
    total = seal.total
    when = f"{verified.at} by {verified.how}"
    if verified.error:
        when = f"FAILED at {verified.at}: run lepotato-backup verify"
    say(f"{name:<26}{kind:<8}{total.files:>10}{human_bytes(total.bytes):>12}  {when}")
