# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that brings the bucket to what the manifest says."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

from ..base.progress import human_bytes
from ..bucket.upload import Uploader, plan_upload, reconcile_reason
from .context import Night
from .stage import Stage
from .wait_for_dns import wait_for_names

# Pi-hole answers within seconds of its start; the router's resolver may take a minute.
NAMES_TIMEOUT_SECONDS = 120.0


class UploadStage(Stage):
    """Sends what changed, or compares the whole bucket when its state is not known."""

    name = "upload"

    def run(self, night: Night) -> None:
        """Send it; leaves what was planned and sent in *night*."""
        host = urlsplit(night.client.endpoint).hostname
        if host is not None:
            wait_for_names(host, NAMES_TIMEOUT_SECONDS, night.log)
        night.plan = plan_upload(night.state.manifest)
        held = night.bucket.held()
        night.reconciled_epoch_seconds = held.reconciled_epoch_seconds if held else 0.0
        meter = night.options.progress("upload") if night.options.progress else None
        uploader = Uploader(
            night.config,
            night.rclone,
            night.bucket,
            night.log,
            before=night.before.upload if night.before else None,
            accept_shrink=night.options.accept_shrink,
            on_progress=meter.transfer if meter else None,
        )
        started_epoch_seconds = night.clock.now()
        try:
            sent = uploader.upload(night.plan, started_epoch_seconds)
        finally:
            if meter:
                meter.end()
        if sent.reconciled:
            night.reconciled_epoch_seconds = started_epoch_seconds
        night.sent = sent
        night.log.info(
            f"upload: {sent.files} files, {human_bytes(sent.bytes)} sent, {sent.hidden} hidden"
        )
        night.record.details["upload"] = dataclasses.asdict(sent)

    def dry_run(self, night: Night) -> None:
        """Tell how much about: what the capture would copy, or whether all is compared."""
        copied = night.copied
        amount = f"{copied.files_transferred} files, {human_bytes(copied.bytes_transferred)}"
        reason = night.distrust or reconcile_reason(
            night.bucket.held(), night.clock.now(), night.config.upload.reconcile_days
        )
        if reason:
            night.log.info(f"would compare the whole bucket ({reason}) and send what it lacks")
        else:
            night.log.info(f"would send what changed: about {amount}")
