# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what :mod:`.retention` says may go: seals and manifests, copies, snapshots on the SSD.

In the bucket things are hidden; the lifecycle rule removes them when their time has come. A
point's object goes first, so that nothing is offered that is no longer whole. A night that died
between its manifest and its seal left a manifest that no point names: it goes too.
"""

from __future__ import annotations

from datetime import date
from typing import List, Sequence

from ..base.errors import BackupError
from ..base.journal import Journal
from ..bucket.layout import MANIFESTS_DIRECTORY
from ..config.schema import Config
from ..rclone.commands import Rclone
from .model import ids_of_manifests, ids_of_seals, manifest_path, seal_path
from .retention import (
    DAILY,
    LOCAL,
    MANIFEST,
    WEEKLY,
    Verdict,
    judge_manifests,
    judge_remote,
    judge_weekly,
    manifests_in_use,
)
from .store import Store
from .weekly import COPY, WeeklyName, date_of, parse_weekly, weeklies_of
from .weekly_local import LocalWeeklies


def judge(
    config: Config, point_names: Sequence[str], local: LocalWeeklies, today: date
) -> List[Verdict]:
    """What would become of every point, in the bucket and on the SSD."""
    names = local.names()
    return judge_remote(config, point_names, today) + judge_weekly(
        config, LOCAL, names, [date_of(name) for name in names], today
    )


def judge_leftovers(rclone: Rclone, point_names: Sequence[str]) -> List[Verdict]:
    """The manifests that no point needs; costs a listing (three calls)."""
    names = rclone.names(rclone.crypt(MANIFESTS_DIRECTORY))
    return judge_manifests(point_names, ids_of_manifests(names))


def prune(
    verdicts: Sequence[Verdict],
    rclone: Rclone,
    store: Store,
    point_names: Sequence[str],
    local: LocalWeeklies,
    journal: Journal,
) -> List[Verdict]:
    """Remove what *verdicts* say is expired; returns those. Only after a sealed, counted night."""
    expired = [verdict for verdict in verdicts if verdict.expired]
    gone = [verdict.name for verdict in expired if verdict.kind in (DAILY, WEEKLY)]
    if gone:
        _prune_bucket(gone, rclone, store, point_names)
    leftovers = [verdict.name for verdict in expired if verdict.kind == MANIFEST]
    if leftovers:
        store.hide([manifest_path(night) for night in leftovers])
    for verdict in expired:
        if verdict.kind == LOCAL:
            local.remove(verdict.name)
        journal.info(f"expired: {verdict.kind} {verdict.name} ({verdict.reason})")
    return expired


def _prune_bucket(
    gone: Sequence[str], rclone: Rclone, store: Store, point_names: Sequence[str]
) -> None:
    weeklies = [weekly for weekly in weeklies_of(point_names) if weekly.name in gone]
    copies = [weekly for weekly in weeklies if _is_copy(rclone, weekly)]
    nights = [night for night in ids_of_seals(point_names) if night in gone]
    in_use = manifests_in_use(point_names, gone)
    idle = sorted({*nights, *(weekly.point_id for weekly in weeklies)} - set(in_use))
    store.hide(
        [
            *(seal_path(night) for night in nights),
            *(weekly.path for weekly in weeklies),
            *(manifest_path(night) for night in idle),
        ]
    )
    for weekly in copies:
        rclone.delete_all(rclone.crypt(weekly.data))


def _is_copy(rclone: Rclone, weekly: WeeklyName) -> bool:
    try:
        text = rclone.cat(rclone.crypt(weekly.path)).decode("utf-8", "replace")
        return parse_weekly(text, weekly.path).mode == COPY
    except BackupError:
        # Damaged, it may be one; where a copy would lie, nothing else does.
        return True
