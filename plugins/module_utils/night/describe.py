# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that writes the manifest: what staging holds, and what of it needs a carrier's name."""

from __future__ import annotations

import os
from typing import Sequence

from ..base.printable import printable
from ..capture.copy import copy_source, give_back_partial
from ..manifest.carriers import plan_carriers
from ..manifest.hard_links import link_window, read_link_windows
from ..manifest.walk import WalkResult, write_manifest
from ..staging.mend import mendable, remove_staged
from .context import Night
from .stage import Stage

# The log names so many of them.
DAMAGED_TOLD = 5


class DescribeStage(Stage):
    """Writes the manifest of staging, reading only the files that changed."""

    name = "manifest"

    def run(self, night: Night) -> None:
        """Write it, and make the carriers."""
        daily, state = night.config.paths.daily, night.state
        os.makedirs(daily, mode=0o700, exist_ok=True)
        walked = _write(night)
        mended = 0
        if walked.damaged:
            mended = _mend(night, walked.damaged)
            if mended:
                walked = _write(night)
            _tell_damage(night, walked.damaged, mended)
        night.unmended = walked.damaged
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
            "damaged": mended + len(walked.damaged),
            "mended": mended,
        }

    def dry_run(self, _night: Night) -> None:
        """Nothing: what is not staged can't be described."""


def _write(night: Night) -> WalkResult:
    return write_manifest(
        night.config.paths.daily,
        night.state.manifest,
        previous=night.state.manifest,
        windows=read_link_windows(night.state.link_windows),
        extra={"point": night.record.id, "host": night.config.host},
    )


def _mend(night: Night, damaged: Sequence[bytes]) -> int:
    """Copy what is damaged in staging from its source once more; returns how many files."""
    found = mendable(night.config, night.state.manifest, damaged)
    for source in night.config.sources:
        paths = found.get(source.tree, [])
        if paths:
            remove_staged(night.config, source, paths)
            copy_source(night.config, night.runner, source, paths, may_vanish=False)
    give_back_partial(night.config.paths.staging)
    return sum(map(len, found.values()))


def _tell_damage(night: Night, left: Sequence[bytes], mended: int) -> None:
    look = "Look at the SSD (dmesg, smartctl)"
    if mended:
        night.log.warning(
            f"{mended} files were damaged where they are staged and were copied from their source "
            f"once more. {look}"
        )
    if left:
        names = ", ".join(printable(path) for path in left[:DAMAGED_TOLD])
        night.log.warning(
            f"{len(left)} files are damaged where they are staged, and their sources have changed "
            f"or are gone ({names}): the bucket keeps them as they were sealed. {look}"
        )
