# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host's clock can be trusted with the age of restore points."""

from __future__ import annotations

from typing import Optional

from ..base.errors import BackupError
from .model import epoch_of_point

# The board has no clock of its own: after a power cut without network it starts in the past.
# A tenth of an hour is far beyond what NTP leaves and far below what would confuse two nights.
CLOCK_SKEW_MAX_SECONDS = 360.0


def require_true_clock(skew_seconds: Optional[float], newest_point: str, now: float) -> None:
    """Raise :class:`BackupError` when the clock is far from B2's or before the newest point.

    *skew_seconds* is how far B2's clock is ahead, None when B2 did not tell; *newest_point* is the
    ID of the newest sealed night, "" without one; *now* is in seconds since 1970.
    """
    mend = "Check that systemd-timesyncd or another NTP client runs (timedatectl)"
    if skew_seconds is not None and abs(skew_seconds) > CLOCK_SKEW_MAX_SECONDS:
        ahead = "behind" if skew_seconds > 0 else "ahead of"
        raise BackupError(
            f"this host's clock is {abs(skew_seconds):.0f} s {ahead} Backblaze's", mend
        )
    if newest_point and now <= epoch_of_point(newest_point):
        raise BackupError(f"this host's clock is before the last sealed night {newest_point}", mend)
