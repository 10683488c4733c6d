# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.b2.call_classes import Calls
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Cost
from ansible_collections.lepotato.backup.plugins.module_utils.cost.ledger import (
    CostState,
    read_cost,
    write_cost,
)
from ansible_collections.lepotato.backup.plugins.module_utils.cost.prices import (
    Monthly,
    calls_usd,
    storage_usd,
)
from ansible_collections.lepotato.backup.plugins.module_utils.cost.stored_bytes import Stored
from ansible_collections.lepotato.backup.plugins.module_utils.night.cost_books import (
    cost_lines,
    cost_told,
)

DAY_SECONDS = 86400.0
NOW = 1_800_000_000.0
PRICES = Cost()


def test_storage_is_billed_by_decimal_terabytes_beyond_the_free_gigabytes() -> None:
    assert storage_usd(PRICES, 10 * 10**9) == 0
    assert storage_usd(PRICES, 110 * 10**9) == pytest.approx(0.695)
    assert storage_usd(Cost(free_storage_gb=0), 10**12) == pytest.approx(6.95)


def test_calls_are_free_each_day_and_then_billed() -> None:
    assert calls_usd(PRICES, [Calls(10**6, 2500, 2500)] * 30) == 0
    # A weekly copy of 20,000 files, and a download of 12,500.
    assert calls_usd(PRICES, [Calls(0, 12_500, 0), Calls(0, 0, 22_500)]) == pytest.approx(0.084)
    assert calls_usd(Cost(class_c_usd_per_1000=0), [Calls(0, 0, 22_500)]) == 0


def test_between_counts_what_was_sent_is_added() -> None:
    state = CostState().sent(1000, 1000, 50).counted(Stored(1050, 0, 0, 3), NOW)
    assert state.estimated() == Stored(1050, 0, 0, 3)
    # 300 bytes replaced 300, and 100 are new.
    state = state.sent(1100, 400, 50)
    assert state.estimated() == Stored(1200, 300, 0, 3)
    # 500 were hidden: still stored.
    state = state.sent(600, 0, 50)
    assert state.estimated() == Stored(750, 800, 0, 3)
    counted = state.counted(Stored(700, 800, 0, 9), NOW)
    assert counted.estimated() == Stored(700, 800, 0, 9)


def test_nothing_is_estimated_before_the_first_count() -> None:
    assert CostState().sent(1000, 1000, 50).estimated() is None
    assert cost_told(PRICES, CostState()) == {"stored": None}
    assert cost_lines({"stored": None, "calls": None}) == []


def test_calls_add_up_by_day_for_a_month() -> None:
    state = CostState().called(Calls(1, 2, 3), NOW).called(Calls(10, 20, 30), NOW)
    assert list(state.days.values()) == [Calls(11, 22, 33)]
    state = state.called(Calls(1, 1, 1), NOW + 29 * DAY_SECONDS)
    assert len(state.days) == 2
    state = state.called(Calls(1, 1, 1), NOW + 30 * DAY_SECONDS)
    assert list(state.days.values()) == [Calls(1, 1, 1)] * 2
    # A clock that was ahead once: its days are not kept for years.
    assert len(state.called(Calls(), NOW).days) == 1


def test_a_person_is_told_once_and_then_once_a_month() -> None:
    state, dear = CostState(), Monthly(2.5, 0.0)
    assert state.warning(PRICES, Monthly(2.0, 0.0), NOW) == ""
    assert "about 2.50 USD" in state.warning(PRICES, dear, NOW)
    assert "agent_cost_monthly_limit_usd" in state.warning(PRICES, dear, NOW)
    state = state.warned(PRICES, NOW)
    assert state.warning(PRICES, dear, NOW + 29 * DAY_SECONDS) == ""
    assert state.warning(PRICES, dear, NOW + 31 * DAY_SECONDS)
    # Another limit is another question.
    assert state.warning(Cost(monthly_limit_usd=1.0), dear, NOW + DAY_SECONDS)


def test_the_state_survives_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    assert read_cost(str(path)) == CostState()
    state = CostState().sent(10, 10, 1).counted(Stored(1, 2, 3, 4), NOW).called(Calls(1), NOW)
    write_cost(str(path), state)
    assert read_cost(str(path)) == state
    for damage in ("", "[]", "{}", json.dumps({"stored": {"who": 1}, "days": {}})):
        path.write_text(damage, encoding="utf-8")
        assert read_cost(str(path)) == CostState()


def test_a_person_reads_what_is_stored_and_what_it_costs() -> None:
    state = CostState().counted(Stored(300 * 10**9, 5 * 10**9, 10**9, 9), NOW)
    told = cost_told(PRICES, state)
    assert told["month"]["total_usd"] == pytest.approx(2.0572)
    lines = cost_lines({**told, "calls": {"class_a": 1, "class_b": 2, "class_c": 3}})
    assert lines[0].startswith(
        "stored 306.0 GB: current 300.0 GB, history 5.0 GB, copies 1.0 GB (counted 2027-"
    )
    assert lines[1] == "asked B2 1 times in class A (free), 2 in class B, 3 in class C"
    assert lines[2].startswith("costs about 2.06 USD a month: storage 2.06, calls 0.00")
    assert lines[3].startswith("warning: the bucket costs about 2.06 USD")
