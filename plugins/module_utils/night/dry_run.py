# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night would do once everything is staged, for ``--dry-run``: it is told, not done."""

from __future__ import annotations

import posixpath
from datetime import date
from typing import Optional, Sequence

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.progress import human_bytes
from ..bucket.known_state import Held
from ..bucket.upload import reconcile_reason
from ..capture.rsync import RsyncStats
from ..config.schema import Config
from ..points.model import ids_of_seals, seal_path
from ..points.prune import judge
from ..points.weekly import WeeklyName, date_of, is_weekly_due, weeklies_of, weekly_name
from ..points.weekly_local import LocalWeeklies
from ..second.store import require_second


def tell_rest(
    config: Config,
    journal: Journal,
    *,
    held: Optional[Held],
    copied: RsyncStats,
    point_names: Sequence[str],
    night: str,
    local: LocalWeeklies,
    today: date,
    now: float,
) -> None:
    """Tell *journal* what the night *night*, which would stage *copied*, would do after it.

    *point_names* are the objects of the points in the bucket; *now* is in seconds since 1970.
    """
    amount = f"{copied.files_transferred} files, {human_bytes(copied.bytes_transferred)}"
    reason = reconcile_reason(held, now, config.upload.reconcile_days)
    if reason:
        journal.info(f"would compare the whole bucket ({reason}) and send what it lacks")
    else:
        journal.info(f"would send what changed: about {amount}")
    journal.info(f"would seal {night}")
    names = [*point_names, posixpath.basename(seal_path(night))]
    weekly = weekly_name(today)
    snapshot_dates = [date_of(name) for name in local.names()]
    if is_weekly_due(config.weekly, today, snapshot_dates, ids_of_seals(point_names)):
        journal.info(f"would keep staging as the snapshot {weekly} on the SSD")
    weekly_dates = [one.date for one in weeklies_of(names)]
    if is_weekly_due(config.weekly, today, weekly_dates, ids_of_seals(names)):
        journal.info(f"would make the weekly point {weekly} ({config.weekly.mode})")
        names.append(posixpath.basename(WeeklyName(weekly, night).path))
    for verdict in judge(config, names, local, today):
        if verdict.expired:
            journal.info(f"would remove {verdict.kind} {verdict.name} ({verdict.reason})")
    if config.second.enabled:
        try:
            require_second(config)
        except BackupError as error:
            journal.warning(f"the second destination would get no new point: {error}")
        else:
            journal.info("would bring the same to the second destination")
