# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that removes what is too old, in the bucket and on the SSD."""

from __future__ import annotations

from ..points.prune import judge, judge_leftovers, prune
from .context import Night
from .stage import Stage
from .weekly import WeeklyStage


class PruneStage(Stage):
    """Removes expired points, and once in a while what failed nights left."""

    name = "prune"
    timed_with = "points"
    ends_night = False

    def is_due(self, night: Night) -> bool:
        """Nothing is removed after a weekly point that could not be made."""
        return WeeklyStage.name not in night.warned_stages

    def run(self, night: Night) -> None:
        """Judge, and remove."""
        verdicts = judge(night.config, night.point_names, night.local, night.today)
        if night.sent.reconciled:
            # Only a night that failed leaves any: a look about once a week is enough.
            verdicts += judge_leftovers(night.rclone, night.point_names)
        expired = prune(
            verdicts, night.rclone, night.store, night.point_names, night.local, night.log
        )
        night.record.details["expired"] = [f"{one.kind} {one.name}" for one in expired]

    def dry_run(self, night: Night) -> None:
        """Tell what would be removed, tonight's points counted among those there are."""
        for verdict in judge(night.config, night.point_names, night.local, night.today):
            if verdict.expired:
                night.log.info(f"would remove {verdict.kind} {verdict.name} ({verdict.reason})")
