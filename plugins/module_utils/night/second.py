# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that brings the sealed night to the second destination, where there is one."""

from __future__ import annotations

from ..base.errors import BackupError
from ..config.schema import Config
from ..second.nightly_copy import SecondNight
from ..second.store import require_second
from .context import Night
from .stage import Stage


class SecondStage(Stage):
    """The same point on a second disk or remote; what fails there is told by what it does."""

    name = "second"
    ends_night = False

    def is_enabled(self, config: Config) -> bool:
        """Whether a second destination is configured."""
        return config.second.enabled

    def run(self, night: Night) -> None:
        """Send the night, seal it and look after the points there."""
        second = SecondNight(night.config, night.runner, night.log, night.clock, night.rclone_says)
        night.record.details["second"] = second.tend(
            night.seal, night.today, night.options.progress
        )

    def dry_run(self, night: Night) -> None:
        """Tell whether it would get the point."""
        try:
            require_second(night.config)
        except BackupError as error:
            night.log.warning(f"the second destination would get no new point: {error}")
        else:
            night.log.info("would bring the same to the second destination")
