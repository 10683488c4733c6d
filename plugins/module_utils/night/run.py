# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The night: the list of its stages, and what happens when one of them fails.

A new stage is a module of its own and one line in :data:`STAGES`.
"""

from __future__ import annotations

from typing import Sequence

from ..base.errors import BackupError
from .capture import CaptureStage
from .context import Night
from .cost import CostStage, tell_cost
from .count import CountStage
from .describe import DescribeStage
from .preflight import PreflightStage
from .prune import PruneStage
from .seal import SealStage
from .second import SecondStage
from .snapshot import SnapshotStage
from .stage import Stage
from .upload import UploadStage
from .weekly import WeeklyStage

STAGES: Sequence[Stage] = (
    PreflightStage(),
    CaptureStage(),
    DescribeStage(),
    SnapshotStage(),
    UploadStage(),
    CountStage(),
    SealStage(),
    WeeklyStage(),
    PruneStage(),
    CostStage(),
    SecondStage(),
)


def run_night(night: Night, stages: Sequence[Stage] = STAGES) -> None:
    """Do the night, or tell what it would do; raises whatever ended it.

    Containers are up again in every case. What an interrupted run left stopped has been started
    before (by the command ``run``).
    """
    enabled = [stage for stage in stages if stage.is_enabled(night.config)]
    if night.options.dry_run:
        for stage in enabled:
            stage.dry_run(night)
        return
    try:
        for stage in enabled:
            _run_stage(stage, night)
    finally:
        tell_cost(night)


def _run_stage(stage: Stage, night: Night) -> None:
    # The record has a time for each: 0 says that nothing was due.
    night.record.seconds.setdefault(stage.time_key, 0.0)
    if not stage.is_due(night):
        return
    with stage.under_way(night):
        try:
            stage.run(night)
        except (BackupError, OSError) as error:
            if stage.ends_night:
                raise
            night.log.warning(stage.warning(night, error))
            night.warned_stages.append(stage.name)
