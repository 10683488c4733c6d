# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage in which services stop: staging becomes what the sources are."""

from __future__ import annotations

from ..base.errors import BackupError
from ..capture.copy import give_back_partial
from ..capture.run import CaptureResult, run_capture
from .context import Night
from .stage import Stage


class CaptureStage(Stage):
    """Copies the sources into staging; its own steps follow the stage's in the log."""

    name = "capture"

    def run(self, night: Night) -> None:
        """Capture; no half copied file is left in staging, whatever ends it."""
        try:
            result = run_capture(night.config, night.runner, night.log)
        finally:
            give_back_partial(night.config.paths.staging)
        _keep(result, night)

    def dry_run(self, night: Night) -> None:
        """Tell what would be copied and stopped; to know it, sources and staging are compared."""
        with self.under_way(night):
            _keep(run_capture(night.config, night.runner, night.log, dry_run=True), night)


def _keep(result: CaptureResult, night: Night) -> None:
    night.record.details["capture"] = result.told()
    if result.failed_groups:
        told = "; ".join(f"{name}: {why}" for name, why in result.failed_groups.items())
        raise BackupError(
            f"the capture failed ({told})",
            "The services were started again and the last sealed night is untouched",
        )
    night.copied = result.copied
