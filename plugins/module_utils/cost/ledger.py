# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host's bucket costs, kept from night to night in ``STATE/cost.json``.

The stored bytes are counted on nights that compare the whole bucket or make a weekly copy (about
once a week), because that takes a listing of every version. In between they are estimated: what
was sent is added, and what the lifecycle rule removed meanwhile is not taken away, so that an
estimate is too high rather than too low. Calls are those of the nights; a restore's are not in it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Optional

from ..b2.call_classes import Calls
from ..config.schema import Cost
from ..filesystem.atomic_write import write_json_atomically
from ..points.model import rfc3339
from .prices import Monthly, calls_usd, storage_usd
from .stored_bytes import Stored

MONTH_DAYS = 30


@dataclass(frozen=True)
class CostState:
    """What is known of the bucket.

    *stored* is what a listing at *counted_at* found, *counted_daily_bytes* what ``daily/`` had
    then and *daily_bytes* what it has now; *sent_bytes* came since, of which *points_bytes* are
    manifests and points. *days* holds the calls by UTC date. *warned_at* is when a person was last
    told that *warned_limit_usd* is exceeded.
    """

    stored: Optional[Stored] = None
    counted_at: str = ""
    counted_daily_bytes: int = 0
    daily_bytes: int = 0
    sent_bytes: int = 0
    points_bytes: int = 0
    days: Dict[str, Calls] = field(default_factory=dict)
    warned_at: str = ""
    warned_limit_usd: float = 0.0

    def counted(self, stored: Stored, now: float) -> CostState:
        """After a listing, and after :meth:`sent`."""
        return dataclasses.replace(
            self,
            stored=stored,
            counted_at=rfc3339(now),
            counted_daily_bytes=self.daily_bytes,
            sent_bytes=0,
            points_bytes=0,
        )

    def sent(self, daily_bytes: int, data_bytes: int, points_bytes: int) -> CostState:
        """After a sealed night; bytes as they are stored."""
        return dataclasses.replace(
            self,
            daily_bytes=daily_bytes,
            sent_bytes=self.sent_bytes + data_bytes + points_bytes,
            points_bytes=self.points_bytes + points_bytes,
        )

    def called(self, calls: Calls, now: float) -> CostState:
        """After a run, good or bad; days older than a month are forgotten."""
        today = _date(now)
        oldest = _date(now - timedelta(days=MONTH_DAYS - 1).total_seconds())
        days = {day: made for day, made in self.days.items() if oldest <= day <= today}
        days[today] = days.get(today, Calls()) + calls
        return dataclasses.replace(self, days=days)

    def estimated(self) -> Optional[Stored]:
        """The bytes stored now; None before the first count."""
        if self.stored is None:
            return None
        grown = self.daily_bytes - self.counted_daily_bytes
        # What was sent and did not make the newest night larger has replaced something.
        replaced = max(0, self.sent_bytes - self.points_bytes - grown)
        return dataclasses.replace(
            self.stored,
            current=max(0, self.stored.current + grown + self.points_bytes),
            history=self.stored.history + replaced,
        )

    def monthly(self, prices: Cost, stored: Stored) -> Monthly:
        """What a month costs at the present size."""
        return Monthly(storage_usd(prices, stored.total), calls_usd(prices, self.days.values()))

    def warning(self, prices: Cost, monthly: Monthly, now: float) -> str:
        """What to tell a person tonight; "" when nothing, or when it was told within a month.

        Every warning makes a night end with exit code 3, "something needs a look". A limit that
        stays exceeded would do so every night, and who sees that for weeks no longer looks at the
        3 that matters. So it is said when the limit is first exceeded, or was changed, and again
        once a month, as often as the bill comes; ``status`` and the run record show it always.
        """
        if monthly.total_usd <= prices.monthly_limit_usd:
            return ""
        month_ago = rfc3339(now - timedelta(days=MONTH_DAYS).total_seconds())
        if self.warned_limit_usd == prices.monthly_limit_usd and self.warned_at > month_ago:
            return ""
        return over_limit(prices, monthly)

    def warned(self, prices: Cost, now: float) -> CostState:
        """After a person was told."""
        return dataclasses.replace(
            self, warned_at=rfc3339(now), warned_limit_usd=prices.monthly_limit_usd
        )


def over_limit(prices: Cost, monthly: Monthly) -> str:
    """What a person is told about too high a cost."""
    return (
        f"the bucket costs about {monthly.total_usd:.2f} USD a month (storage "
        f"{monthly.storage_usd:.2f}, calls {monthly.calls_usd:.2f}), more than "
        f"agent_cost_monthly_limit_usd allows ({prices.monthly_limit_usd:.2f}): leave something "
        "out, keep the history for fewer days, or raise the limit"
    )


def read_cost(path: str) -> CostState:
    """What is kept in *path*; a missing or damaged file is nothing known."""
    try:
        with open(path, encoding="utf-8") as stream:
            raw: Dict[str, Any] = json.load(stream)
        stored = raw.pop("stored")
        days = {day: Calls(**calls) for day, calls in raw.pop("days").items()}
        return CostState(stored=None if stored is None else Stored(**stored), days=days, **raw)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return CostState()


def write_cost(path: str, state: CostState) -> None:
    """Keep *state*; raises :class:`OSError`."""
    write_json_atomically(path, dataclasses.asdict(state))


def _date(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, timezone.utc).strftime("%Y-%m-%d")
