# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete from the second destination what no point needs any more: there is no lifecycle rule."""

from __future__ import annotations

from datetime import date
from typing import List, Sequence

from ..base.journal import Journal
from ..base.state_files import StateFiles
from ..config.schema import Config
from ..points.prune import prune
from ..points.retention import (
    DAILY,
    WEEKLY,
    Verdict,
    judge_manifests,
    judge_remote,
    manifests_in_use,
)
from ..points.weekly_local import LocalWeeklies
from ..process.runner import Runner
from ..rclone.move_to_history import AsideRclone
from .read import prove_second
from .store import (
    Inventory,
    SecondStore,
    require_second,
    second_rclone,
    take_inventory,
    writable_second,
)


def judge_second(
    config: Config, names: Sequence[str], there: Inventory, today: date
) -> List[Verdict]:
    """What becomes of the points whose object *names* lie there, and of manifests of none."""
    return judge_remote(config, names, today) + judge_manifests(names, there.manifests)


def prune_second(
    config: Config,
    runner: Runner,
    journal: Journal,
    rclone: AsideRclone,
    there: Inventory,
    names: Sequence[str],
    verdicts: Sequence[Verdict],
) -> List[Verdict]:
    """Delete what *verdicts* say is expired, and what was moved aside for it; returns those.

    Only after the newest night there is whole.
    """
    store = SecondStore(rclone, config.paths.state)
    expired = prune(verdicts, rclone, store, names, LocalWeeklies(config, runner), journal)
    gone = [verdict.name for verdict in expired if verdict.kind in (DAILY, WEEKLY)]
    needed = manifests_in_use(names, gone)
    for history in there.histories:
        # It holds what was replaced by its own night: only earlier points need it.
        if history.point_id <= needed[0]:
            rclone.purge(rclone.crypt(history.path))
    return expired


def prune_second_now(
    config: Config, runner: Runner, journal: Journal, today: date, *, dry_run: bool
) -> List[Verdict]:
    """Judge the second destination's points and, unless *dry_run*, delete what is expired.

    Raises :class:`..base.errors.BackupError` when it is not there, and before anything is deleted
    when its newest night is not whole.
    """
    if dry_run:
        require_second(config)
        there = take_inventory(second_rclone(config, runner))
        return judge_second(config, there.points, there, today)
    with writable_second(config, runner) as (rclone, _traits):
        there = take_inventory(rclone)
        verdicts = judge_second(config, there.points, there, today)
        if any(verdict.expired for verdict in verdicts):
            prove_second(rclone, StateFiles(config.paths.state).directory)
            prune_second(config, runner, journal, rclone, there, there.points, verdicts)
        return verdicts
