# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.upload import Sent
from ansible_collections.lepotato.backup.plugins.module_utils.cost.ledger import (
    CostState,
    write_cost,
)
from ansible_collections.lepotato.backup.plugins.module_utils.cost.stored_bytes import Stored
from ansible_collections.lepotato.backup.plugins.module_utils.night.cost import CostStage
from ansible_collections.lepotato.backup.plugins.module_utils.night.run import run_night

from .nights import Lines, a_night

COPY = {"mode": "copy"}
REFERENCE = {"mode": "reference"}


@pytest.mark.parametrize(
    ("weekly", "reconciled", "made_weekly", "was_counted", "is_due"),
    [
        (REFERENCE, False, False, True, False),
        (REFERENCE, False, False, False, True),
        (REFERENCE, True, False, True, True),
        (REFERENCE, False, True, True, False),
        (COPY, False, True, True, True),
        (COPY, False, False, True, False),
    ],
)
def test_the_bucket_is_counted_when_much_was_listed_or_copied_anyway(
    tmp_path: Path,
    weekly: dict[str, str],
    reconciled: bool,
    made_weekly: bool,
    was_counted: bool,
    is_due: bool,
) -> None:
    if was_counted:
        write_cost(str(tmp_path / "cost.json"), CostState().counted(Stored(1, 0, 0, 1), 0.0))
    night = a_night(tmp_path, Lines(), weekly=weekly)
    night.sent = Sent(0, 0, 0, reconciled=reconciled)
    if made_weekly:
        night.record.details["weekly"] = "backup-2026-11-22"
    assert CostStage().is_due(night) is is_due


def test_a_count_that_fails_leaves_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_unused: object) -> None:
        raise BackupError("no network")

    night = a_night(tmp_path, Lines())
    night.sent = Sent(0, 0, 0, reconciled=True)
    monkeypatch.setattr(night.cost, "count", fail)
    run_night(night, [CostStage()])
    told = "the night is sealed, but what is stored was not counted: no network"
    assert night.log.warnings == [told]
