# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.bucket.known_state import Held
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.upload import (
    DAY_SECONDS,
    deletions_allowed,
    reconcile_reason,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("age_days", "due"), [(0, False), (6, False), (6.9, True), (7, True), (30, True), (-1, True)]
)
def test_the_whole_bucket_is_compared_on_schedule(age_days: float, due: bool) -> None:
    held = Held("manifest", NOW - age_days * DAY_SECONDS)
    assert bool(reconcile_reason(held, NOW, 7)) is due


def test_an_unknown_bucket_is_compared() -> None:
    assert "did not end with a seal" in reconcile_reason(None, NOW, 7)


def test_how_much_a_night_may_hide() -> None:
    assert deletions_allowed(50, None, False) is None
    assert deletions_allowed(50, Amount(1000, 1), True) is None
    assert deletions_allowed(50, Amount(1000, 1), False) == 500
    # A small backup may lose its few files.
    assert deletions_allowed(50, Amount(20, 1), False) == 50
