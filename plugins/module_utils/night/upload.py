# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that brings the bucket to what the manifest says."""

from __future__ import annotations

import dataclasses
from typing import Iterator
from urllib.parse import urlsplit

from ..base.errors import BackupError
from ..base.printable import printable
from ..base.progress import human_bytes
from ..bucket.layout import DAILY_DIRECTORY
from ..bucket.upload import Uploader, plan_upload, reconcile_reason
from ..manifest.hard_links import read_link_windows
from ..manifest.model import content_path
from ..manifest.still import iter_touched
from ..rclone.name_lists import write_file_list
from .context import Night
from .stage import Stage
from .wait_for_dns import wait_for_names

# Pi-hole answers within seconds of its start; the router's resolver may take a minute.
NAMES_TIMEOUT_SECONDS = 120.0

NAMES_TOLD = 5


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
        _require_as_hashed(night)
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


def _require_as_hashed(night: Night) -> None:
    """Raise :class:`BackupError` unless what was sent is what the manifest was made of.

    What is not is hidden in the bucket: the next night sends it, whatever its size and time.
    """
    windows = read_link_windows(night.state.link_windows)
    touched = {
        content_path(entry)
        for entry in iter_touched(night.config.paths.daily, night.state.manifest, windows)
    }
    suspects = touched.union(night.unmended)
    if not suspects:
        return
    wrong = sorted(suspects.intersection(_sent_paths(night.state.upload_list)))
    if not wrong and not touched:
        return
    if wrong:
        hide_list = night.state.hide_list
        count = write_file_list(hide_list, wrong)
        destination = night.rclone.crypt(DAILY_DIRECTORY)
        night.rclone.delete_listed(destination, hide_list, max_delete=count)
    names = ", ".join(printable(path) for path in sorted(suspects)[:NAMES_TOLD])
    raise BackupError(
        f"{len(suspects)} staged files were changed or are damaged since they were described "
        f"({names}): the night is not sealed, and nothing of them is kept in the bucket",
        "Nothing but the backup may write to the staging directory; look at the SSD too (dmesg)",
    )


def _sent_paths(upload_list: str) -> Iterator[bytes]:
    with open(upload_list, "rb") as stream:
        for line in stream:
            yield line.rstrip(b"\n")
