# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that keeps staging as the weekly snapshot on the SSD; without one the night goes on.

Before the upload: the SSD's copy is there even when the line is down.
"""

from __future__ import annotations

from typing import Sequence

from ..points.model import ids_of_seals
from ..points.weekly import date_of, is_weekly_due, weekly_name
from .context import Night
from .stage import Stage


class SnapshotStage(Stage):
    """Makes the snapshot on its day, of hard links."""

    name = "snapshot"
    ends_night = False

    def is_due(self, night: Night) -> bool:
        """Whether it is the day, or the day's night failed."""
        return _is_due(night, [night.before.id] if night.before else [])

    def run(self, night: Night) -> None:
        """Make it."""
        name = weekly_name(night.today)
        night.local.make(name)
        night.log.info(f"snapshot {name} made of hard links")
        night.record.details["snapshot"] = name

    def dry_run(self, _night: Night) -> None:
        """Nothing yet: the weekly stage tells both of the week's copies (:func:`tell_snapshot`)."""

    def warning(self, night: Night, error: Exception) -> str:
        """The night is not sealed yet, and what failed concerns the SSD alone."""
        return f"the snapshot {weekly_name(night.today)} on the SSD could not be made: {error}"


def tell_snapshot(night: Night) -> None:
    """Tell, in a dry run, whether a snapshot would be made."""
    if _is_due(night, ids_of_seals(night.point_names)):
        name = weekly_name(night.today)
        night.log.info(f"would keep staging as the snapshot {name} on the SSD")


def _is_due(night: Night, nights: Sequence[str]) -> bool:
    dates = [date_of(name) for name in night.local.names()]
    return is_weekly_due(night.config.weekly, night.today, dates, nights)
