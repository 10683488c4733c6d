# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's own clock: real time plus an offset that tests move."""

from __future__ import annotations

import time

from .database import Database

DAY_MS = 86_400_000
_OFFSET = "clock_offset_ms"


class Clock:
    """Milliseconds since 1970 UTC, movable; the offset survives a restart of the server."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offset_ms = int(database.setting(_OFFSET) or "0")

    def now_ms(self) -> int:
        """The moved time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    @property
    def offset_ms(self) -> int:
        """How far the clock is ahead of real time, in milliseconds."""
        return self._offset_ms

    def advance_ms(self, milliseconds: int) -> None:
        """Move the clock (backwards too, with a negative number)."""
        self._offset_ms += milliseconds
        self._database.set_setting(_OFFSET, str(self._offset_ms))
