# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that counts what is stored, when it costs little beside what the night did anyway."""

from __future__ import annotations

from ..points.weekly import COPY
from .context import Night
from .stage import Stage


class CostStage(Stage):
    """Counts the bucket; between counts the books add what was sent (see :mod:`.cost_books`)."""

    name = "cost"
    ends_night = False

    def is_due(self, night: Night) -> bool:
        """Whether much was compared or copied, or nothing was ever counted."""
        made_copy = "weekly" in night.record.details and night.config.weekly.mode == COPY
        return night.sent.reconciled or made_copy or night.cost.never_counted

    def run(self, night: Night) -> None:
        """List every version of the host's folder, and add up."""
        night.cost.count(night.client, night.remote, night.rclone, night.clock.now())

    def dry_run(self, _night: Night) -> None:
        """Nothing: it changes nothing, and ``status`` tells the figures."""

    def warning(self, _night: Night, error: Exception) -> str:
        """The estimate goes on."""
        return f"the night is sealed, but what is stored was not counted: {error}"


def tell_cost(night: Night) -> None:
    """Close the books of a run, whatever ended it: its calls were made."""
    try:
        night.record.details["cost"] = night.cost.finish(night.log, night.clock.now())
    except OSError as error:
        night.log.warning(f"the cost could not be kept: {error}")
