# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers and progress for a person at a terminal."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Optional, TextIO, Tuple

_UNITS = ("B", "kB", "MB", "GB", "TB")

# Redrawing more often than a few times a second only costs CPU on a slow board.
REDRAW_SECONDS = 0.25
BAR_WIDTH = 24
LINE_WIDTH = 79


def human_bytes(size_bytes: float) -> str:
    """*size_bytes* with a decimal unit, as disks and B2 count: ``1.7 GB``."""
    value = float(size_bytes)
    for unit in _UNITS[:-1]:
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def human_seconds(seconds: float) -> str:
    """*seconds* for a person: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True)
class TransferStats:
    """One stats object. Sizes in bytes, times in seconds, speed in bytes per second.

    Bytes are those on the way: encrypted they are up to 0.03 % and 32 a file more than plain.
    """

    bytes: int = 0
    total_bytes: int = 0
    transfers: int = 0
    total_transfers: int = 0
    checks: int = 0
    total_checks: int = 0
    deletes: int = 0
    listed: int = 0
    errors: int = 0
    server_side_copies: int = 0
    server_side_copy_bytes: int = 0
    elapsed_seconds: float = 0.0
    speed: float = 0.0
    eta_seconds: Optional[float] = None
    fatal: bool = False

    def progress(self) -> Tuple[int, ...]:
        """The counters that only grow while rclone gets on with its work."""
        return (
            self.bytes,
            self.transfers,
            self.checks,
            self.deletes,
            self.listed,
            self.server_side_copies,
        )

    def plus(self, later: TransferStats) -> TransferStats:
        """This run's counters and those of *later*, whose pace and state are the present ones."""
        counters = {
            name: getattr(self, name) + getattr(later, name)
            for name in (
                "bytes",
                "total_bytes",
                "transfers",
                "total_transfers",
                "checks",
                "total_checks",
                "deletes",
                "listed",
                "errors",
                "server_side_copies",
                "server_side_copy_bytes",
                "elapsed_seconds",
            )
        }
        return dataclasses.replace(later, **counters)


class ProgressBar:
    """One line on a terminal that shows how far a transfer is; nothing anywhere else."""

    def __init__(self, stream: TextIO, label: str, total_bytes: Optional[int] = None) -> None:
        self._stream = stream
        self._label = label
        self._total_bytes = total_bytes
        self._is_terminal = stream.isatty()
        self._next_redraw = 0.0

    def transfer(self, stats: TransferStats) -> None:
        """Draw what rclone says of its transfer."""
        total = self._total_bytes or stats.total_bytes
        rate = f"{human_bytes(stats.speed)}/s"
        left = "" if stats.eta_seconds is None else f", {human_seconds(stats.eta_seconds)} left"
        self.draw(stats.bytes, total, f"{rate}{left}")

    def draw(self, done: float, total: float, note: str = "") -> None:
        """Draw *done* of *total*; both 0 draws an empty bar."""
        now = time.monotonic()
        if not self._is_terminal or now < self._next_redraw:
            return
        self._next_redraw = now + REDRAW_SECONDS
        share = min(1.0, done / total) if total else 0.0
        filled = round(share * BAR_WIDTH)
        cells = "#" * filled + "." * (BAR_WIDTH - filled)
        line = f"{self._label} [{cells}] {share * 100:3.0f} %  {note}"
        self._stream.write("\r" + line[:LINE_WIDTH].ljust(LINE_WIDTH))
        self._stream.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._is_terminal:
            self._stream.write("\r" + " " * LINE_WIDTH + "\r")
            self._stream.flush()
