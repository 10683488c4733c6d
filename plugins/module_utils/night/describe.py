# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that writes the manifest: what staging holds, and what of it needs a carrier's name."""

from __future__ import annotations

import os

from ..manifest.carriers import plan_carriers
from ..manifest.hard_links import link_window, read_link_windows
from ..manifest.walk import write_manifest
from .context import Night
from .stage import Stage


class DescribeStage(Stage):
    """Writes the manifest of staging, reading only the files that changed."""

    name = "manifest"

    def run(self, night: Night) -> None:
        """Write it, and make the carriers."""
        daily, state = night.config.paths.daily, night.state
        os.makedirs(daily, mode=0o700, exist_ok=True)
        walked = write_manifest(
            daily,
            state.manifest,
            previous=state.manifest,
            windows=read_link_windows(state.link_windows),
            extra={"point": night.record.id, "host": night.config.host},
        )
        with link_window(state.link_windows):
            carriers = plan_carriers(daily, state.manifest)
        night.log.info(
            f"manifest: {walked.summary.entries} entries, {walked.hashed_files} files read, "
            f"{walked.reused_files} unchanged, {carriers.carriers} under carrier names"
        )
        for path in walked.sockets:
            night.log.info(f"socket not backed up: {os.fsdecode(path)!r}")
        night.record.details["manifest"] = {
            "entries": walked.summary.entries,
            "hashed_files": walked.hashed_files,
            "hashed_bytes": walked.hashed_bytes,
            "carriers": carriers.carriers,
        }

    def dry_run(self, _night: Night) -> None:
        """Nothing: what is not staged can't be described."""
