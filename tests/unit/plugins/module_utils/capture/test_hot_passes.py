# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.capture.hot_passes import (
    repeat_hot_passes,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.rsync import RsyncStats
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Capture
from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import RunLog

LIMITS = Capture(hot_passes_max=5, hot_delta_small_bytes=100)


@pytest.mark.parametrize(
    ("copied", "passes"),
    [
        ([1000, 500, 100, 0], 3),  # little is left
        ([1000, 801, 0], 2),  # it does not shrink
        ([1000, 800, 640, 512, 0], 4),  # with the one over all sources it was often enough
        ([0, 0], 1),
    ],
)
def test_passes_are_repeated_until_the_next_would_copy_little(
    copied: List[int], passes: int
) -> None:
    left = iter(copied)
    total, began_ns = repeat_hot_passes(
        lambda: RsyncStats(bytes_transferred=next(left)), 7, LIMITS, RunLog("test", []), "app"
    )
    assert total.bytes_transferred == sum(copied[:passes])
    assert began_ns > 7


def test_without_a_further_pass_the_one_over_all_sources_was_the_last() -> None:
    limits = Capture(hot_passes_max=1)
    total, began_ns = repeat_hot_passes(RsyncStats, 7, limits, RunLog("test", []), "app")
    assert (total, began_ns) == (RsyncStats(), 7)
