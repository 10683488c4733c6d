# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hot passes: copy while everything runs, again and again, until the next pass would copy little.

What the last one leaves is what the cold pass copies while services are down.
"""

from __future__ import annotations

import time
from typing import Callable, Optional, Tuple

from ..base.journal import Journal
from ..config.schema import Capture
from .rsync import RsyncStats
from .settle_writes import settle_writes

STEP_HOT_GROUP = "hot-group"

# A pass that copies more than this share of what the one before copied is not shrinking.
SHRINKING_RATIO = 0.8


def repeat_hot_passes(
    one_pass: Callable[[], RsyncStats],
    began_ns: int,
    limits: Capture,
    journal: Journal,
    group: str,
) -> Tuple[RsyncStats, int]:
    """Call *one_pass* until it copies little, does not shrink, or was called often enough.

    The pass over all sources, which began at *began_ns*, counts as the first of
    ``hot_passes_max``. Returns what the further ones copied together and when the last of all
    began (nanoseconds since 1970); *group* names the group in messages.
    """
    total = RsyncStats()
    before: Optional[int] = None
    for _number in range(limits.hot_passes_max - 1):
        journal.step(STEP_HOT_GROUP)
        began_ns = time.time_ns()
        settle_writes()
        stats = one_pass()
        total = total.plus(stats)
        copied = stats.bytes_transferred
        if copied <= limits.hot_delta_small_bytes:
            break
        if before is not None and copied > before * SHRINKING_RATIO:
            journal.info(f"group {group}: {copied} bytes change during a pass; no use in another")
            break
        before = copied
    return total, began_ns
