# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of the bucket in a night: counted or estimated, told in the record, warned of."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List

from ..b2.api import B2Client
from ..b2.call_classes import CallCounter
from ..base.journal import Journal
from ..base.progress import human_bytes
from ..config.schema import Cost
from ..cost.ledger import CostState, over_limit, read_cost, write_cost
from ..cost.stored_bytes import count_stored
from ..points.model import Seal
from ..points.store import encrypted_amount, encrypted_bytes
from ..rclone.commands import Rclone
from ..rclone.conf import RemoteConf


class NightCost:
    """Keeps the books of one run in the file *path*."""

    def __init__(self, prices: Cost, path: str) -> None:
        self.prices = prices
        self.path = path
        self.counter = CallCounter()
        self.state = read_cost(path)

    @property
    def never_counted(self) -> bool:
        """Whether no listing has told yet what is stored."""
        return self.state.stored is None

    def sealed(self, seal: Seal, sent_bytes: int) -> None:
        """The night is sealed; *sent_bytes* of (encrypted) data were sent for it."""
        points_bytes = encrypted_bytes(seal.manifest.bytes) + encrypted_bytes(len(seal.to_json()))
        self.state = self.state.sent(encrypted_amount(seal.upload), sent_bytes, points_bytes)

    def count(self, client: B2Client, remote: RemoteConf, rclone: Rclone, now: float) -> None:
        """Count what is stored, after the seal; raises :class:`..base.errors.BackupError`."""
        self.state = self.state.counted(count_stored(client, remote, rclone), now)

    def finish(self, journal: Journal, now: float) -> Dict[str, Any]:
        """Keep the figures, warn above the limit, and return what the run record tells.

        Raises :class:`OSError` when they can't be kept.
        """
        self.state = self.state.called(self.counter.calls, now)
        stored = self.state.estimated()
        if stored is not None:
            warning = self.state.warning(self.prices, self.state.monthly(self.prices, stored), now)
            if warning:
                journal.warning(warning)
                self.state = self.state.warned(self.prices, now)
        write_cost(self.path, self.state)
        return {
            **cost_told(self.prices, self.state),
            "calls": dataclasses.asdict(self.counter.calls),
        }


def cost_told(prices: Cost, state: CostState) -> Dict[str, Any]:
    """The figures for records and ``status``; sizes in bytes, ``stored`` None before a count."""
    stored = state.estimated()
    if stored is None:
        return {"stored": None}
    monthly = state.monthly(prices, stored)
    return {
        "stored": {
            "current": stored.current,
            "history": stored.history,
            "copies": stored.copies,
            "total": stored.total,
        },
        "counted_at": state.counted_at,
        "estimated": state.sent_bytes > 0,
        "month": {
            "storage_usd": round(monthly.storage_usd, 4),
            "calls_usd": round(monthly.calls_usd, 4),
            "total_usd": round(monthly.total_usd, 4),
            "limit_usd": prices.monthly_limit_usd,
        },
        "warning": (
            over_limit(prices, monthly) if monthly.total_usd > prices.monthly_limit_usd else ""
        ),
    }


def cost_lines(told: Dict[str, Any]) -> List[str]:
    """What :func:`cost_told` returned, as lines for a person."""
    lines = []
    stored = told.get("stored")
    if stored:
        how = "counted" if not told["estimated"] else "estimated from what was counted"
        lines.append(
            f"stored {human_bytes(stored['total'])}: current {human_bytes(stored['current'])}, "
            f"history {human_bytes(stored['history'])}, copies {human_bytes(stored['copies'])} "
            f"({how} {told['counted_at']})"
        )
    calls = told.get("calls")
    if calls:
        lines.append(
            f"asked B2 {calls['class_a']} times in class A (free), {calls['class_b']} in class B, "
            f"{calls['class_c']} in class C"
        )
    if stored:
        month = told["month"]
        lines.append(
            f"costs about {month['total_usd']:.2f} USD a month: storage "
            f"{month['storage_usd']:.2f}, calls {month['calls_usd']:.2f} "
            f"(limit {month['limit_usd']:.2f})"
        )
        if told["warning"]:
            lines.append(f"warning: {told['warning']}")
    return lines
