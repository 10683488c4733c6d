# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a night, so that tests can live through two months in a minute."""

from __future__ import annotations

import time


class Clock:
    """This machine's clock: seconds since 1970, and waiting."""

    def now(self) -> float:
        """The time now, in seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; nothing for a negative time."""
        time.sleep(max(0.0, seconds))
