# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage between upload and seal: the bucket itself is asked whether it holds the night."""

from __future__ import annotations

from ..base.errors import BackupError
from ..points.count import check_count
from .context import Night
from .stage import Stage


class CountStage(Stage):
    """Nothing is sealed that the bucket does not hold, whatever rclone said of the upload."""

    name = "count"
    timed_with = "seal"

    def run(self, night: Night) -> None:
        """Count; after a wrong count the next night compares the whole bucket."""
        try:
            check_count(night.rclone, night.plan.upload)
        except BackupError:
            night.bucket.changing()
            raise

    def dry_run(self, _night: Night) -> None:
        """Nothing: it changes nothing, and nothing was sent that could be counted."""
