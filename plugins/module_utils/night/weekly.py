# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that makes the weekly point in the bucket when it is due."""

from __future__ import annotations

import posixpath

from ..points.model import ids_of_seals
from ..points.weekly import WeeklyName, is_weekly_due, weeklies_of, weekly_name
from ..points.weekly_remote import make_weekly
from .context import Night
from .snapshot import tell_snapshot
from .stage import Stage


class WeeklyStage(Stage):
    """Names the sealed night as the week's, by reference or as a copy."""

    name = "weekly"
    timed_with = "points"
    ends_night = False

    def is_due(self, night: Night) -> bool:
        """Whether it is the day, or there is no weekly point since the day."""
        dates = [one.date for one in weeklies_of(night.point_names)]
        nights = ids_of_seals(night.point_names)
        return is_weekly_due(night.config.weekly, night.today, dates, nights)

    def run(self, night: Night) -> None:
        """Make it."""
        weekly = make_weekly(
            night.config,
            night.rclone,
            night.store,
            night.log,
            night.seal,
            night.today,
            night.point_names,
            night.clock,
            night.client.clock_skew_seconds or 0.0,
        )
        night.point_names.append(posixpath.basename(weekly.path))
        night.log.info(f"weekly point {weekly.name} ({night.config.weekly.mode})")
        night.record.details["weekly"] = weekly.name

    def dry_run(self, night: Night) -> None:
        """Tell what would be kept of the week, on the SSD and in the bucket."""
        tell_snapshot(night)
        if self.is_due(night):
            name = weekly_name(night.today)
            night.log.info(f"would make the weekly point {name} ({night.config.weekly.mode})")
            path = WeeklyName(name, night.record.id).path
            night.point_names.append(posixpath.basename(path))
