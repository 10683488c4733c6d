# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slow link: bytes per second of a connection and of all together, delay per request."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from .bodies import CHUNK_BYTES
from .params import Params

_PIECES_PER_SECOND = 20  # how finely a slow transfer is sliced


@dataclass(frozen=True)
class Link:
    """The link's properties; 0 means unlimited or no delay."""

    bytes_per_second_connection: int = 0
    bytes_per_second_total: int = 0
    delay_seconds: float = 0.0


class Pacer:
    """Lets ``bytes_per_second`` through; shared by threads, each waits for its own turn."""

    def __init__(self, bytes_per_second: int) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, count: int) -> None:
        """Sleep until ``count`` bytes have had the time to pass."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._bytes_per_second
            pause = self._free_at - now
        time.sleep(pause)


class Shaper:
    """The link all requests go through; it can be changed at any time."""

    def __init__(self) -> None:
        self.set(Link())

    def set(self, link: Link) -> None:
        """Use these properties from the next request on."""
        self.link = link
        self._total = Pacer(link.bytes_per_second_total) if link.bytes_per_second_total else None

    def pacers(self, slow_bytes_per_second: int) -> list[Pacer]:
        """The pacers of one transfer; a fault may ask for a rate of its own (0: none)."""
        rates = [self.link.bytes_per_second_connection, slow_bytes_per_second]
        pacers = [Pacer(rate) for rate in rates if rate]
        return pacers + ([self._total] if self._total is not None else [])

    def piece_bytes(self, slow_bytes_per_second: int) -> int:
        """How many bytes to move at a time so that a slow transfer is smooth."""
        rates = [
            self.link.bytes_per_second_connection,
            self.link.bytes_per_second_total,
            slow_bytes_per_second,
        ]
        slowest = min((rate for rate in rates if rate), default=0)
        return max(1, min(CHUNK_BYTES, slowest // _PIECES_PER_SECOND)) if slowest else CHUNK_BYTES

    def answer(self) -> dict[str, Any]:
        """The link as JSON."""
        return asdict(self.link)


def link_from(params: Params, values: dict[str, Any]) -> Link:
    """A link from the admin call's JSON."""
    return Link(
        params.optional_number("bytes_per_second_connection") or 0,
        params.optional_number("bytes_per_second_total") or 0,
        float(values.get("delay_seconds") or 0),
    )
