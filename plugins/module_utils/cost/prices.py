# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a month in the bucket costs, from stored bytes, calls and the configured prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from ..b2.call_classes import Calls
from ..config.schema import Cost

# B2 bills decimal units.
GIGABYTE_BYTES = 10**9
TERABYTE_BYTES = 10**12
CLASS_B_UNIT_CALLS = 10_000
CLASS_C_UNIT_CALLS = 1_000


@dataclass(frozen=True)
class Monthly:
    """US dollars for a month with these stored bytes, and for the calls of the last one."""

    storage_usd: float
    calls_usd: float

    @property
    def total_usd(self) -> float:
        """Both."""
        return self.storage_usd + self.calls_usd


def month_usd(prices: Cost, stored_bytes: int) -> float:
    """What *stored_bytes* cost in a month when nothing is free any more."""
    return stored_bytes / TERABYTE_BYTES * prices.storage_usd_per_tb_month


def storage_usd(prices: Cost, stored_bytes: int) -> float:
    """What all *stored_bytes* of a host cost in a month."""
    free_bytes = int(prices.free_storage_gb * GIGABYTE_BYTES)
    return month_usd(prices, max(0, stored_bytes - free_bytes))


def calls_usd(prices: Cost, days: Iterable[Calls]) -> float:
    """What the calls of these *days* (UTC, each with its own free calls) cost."""
    total = 0.0
    for calls in days:
        billed_b = max(0, calls.class_b - prices.free_calls_per_day)
        billed_c = max(0, calls.class_c - prices.free_calls_per_day)
        total += billed_b / CLASS_B_UNIT_CALLS * prices.class_b_usd_per_10000
        total += billed_c / CLASS_C_UNIT_CALLS * prices.class_c_usd_per_1000
    return total
