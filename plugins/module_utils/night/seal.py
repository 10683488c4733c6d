# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that makes the upload a restore point; what fails after it no longer ends the night."""

from __future__ import annotations

import posixpath

from ..base.progress import human_bytes
from ..points.model import seal_path
from ..points.seal import seal_night
from .context import Night
from .stage import Stage


class SealStage(Stage):
    """Writes the seal, the last object of the night."""

    name = "seal"

    def run(self, night: Night) -> None:
        """Seal the night, and note what that means for the bucket and its cost."""
        seal = seal_night(
            night.config,
            night.rclone,
            night.client,
            night.log,
            night.plan,
            night.record.id,
            night.record.started_epoch_seconds,
            night.clock,
            night.store,
        )
        night.seal = seal
        night.point_names.append(posixpath.basename(seal_path(seal.id)))
        night.bucket.sealed(night.reconciled_epoch_seconds)
        night.cost.sealed(seal, night.sent.bytes)
        night.record.point = seal.id
        night.log.info(
            f"sealed {seal.id}: {seal.total.files} files, {human_bytes(seal.total.bytes)}"
        )

    def dry_run(self, night: Night) -> None:
        """Tell the night's name; the stages after it judge the points as if it were sealed."""
        night.log.info(f"would seal {night.record.id}")
        night.point_names.append(posixpath.basename(seal_path(night.record.id)))
