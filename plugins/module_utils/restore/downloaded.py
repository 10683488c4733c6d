# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finish what somebody downloaded with plain rclone: no key, no configuration, no network."""

from __future__ import annotations

import os
import shlex
from typing import Optional, Sequence

from ..base.errors import BackupError
from ..base.journal import Journal
from ..bucket.layout import DAILY_DIRECTORY, HISTORY_DIRECTORY, POINTS_DIRECTORY
from ..config.schema import Source
from ..manifest.apply import apply_manifest
from ..points.model import Seal, choose_point
from .directory import RestoreResult, Watchers, incomplete
from .open_point import check_sealed, seals_in
from .selection import Chooser, Wish, measure


def apply_downloaded(
    directory: str,
    wanted: str,
    wish: Wish,
    journal: Journal,
    *,
    sources: Sequence[Source] = (),
    watchers: Optional[Watchers] = None,
) -> RestoreResult:
    """Make ``DIRECTORY/daily`` the tree that was; *directory* holds a copy of the crypt remote.

    *wanted* names the point as in a restore. A plain copy brings what the bucket holds by now: the
    newest night's bytes, unless a later one was broken off. Can be repeated. Raises
    :class:`BackupError` when files are missing or damaged, saying how to bring ``daily/`` to the
    point's time, and when *directory* is no such copy.
    """
    points = os.path.join(directory, POINTS_DIRECTORY)
    daily = os.path.join(directory, DAILY_DIRECTORY)
    for needed in (points, daily):
        if not os.path.isdir(needed):
            raise BackupError(
                f"{directory} is no copy of the crypt remote: it has no {needed}",
                f"Make one with: rclone copy b2-encrypted: {directory}",
            )
    seals = {seal.id: seal for seal in seals_in(points)}
    seal = seals[choose_point(sorted(seals), wanted)]
    manifest = os.path.join(directory, seal.manifest.path)
    if not os.path.exists(manifest):
        raise BackupError(
            f"{manifest}, the manifest of {seal.id}, is not there",
            f"Fetch it with: rclone copyto b2-encrypted:{seal.manifest.path} {manifest}",
        )
    check_sealed(manifest, seal)
    chooser = Chooser(wish, sources)
    measure(manifest, chooser)
    journal.step("apply")
    applied = apply_manifest(
        manifest,
        daily,
        select=None if wish.is_whole else chooser,
        on_progress=watchers.apply if watchers else None,
    )
    if not applied.is_complete:
        told = incomplete(seal, daily, applied).message
        raise BackupError(told, _what_helps(directory, daily, seal))
    return RestoreResult(seal, daily, applied, 1)


def _what_helps(directory: str, daily: str, seal: Seal) -> str:
    """How to get what a plain copy did not bring."""
    is_second = os.path.isdir(os.path.join(directory, HISTORY_DIRECTORY))
    if is_second:
        # Which of the histories has a file is for the program to find.
        fetch = (
            f"lepotato-backup restore {seal.id} --from second --rclone-config rclone.conf "
            "--target OTHER_DIR"
        )
        lead = "Fetch the point with the program, which finds them"
    else:
        fetch = (
            f"rclone --config rclone.conf sync --b2-version-at {seal.version_at} "
            f"b2-encrypted:{seal.data} {shlex.quote(daily)}"
        )
        lead = f"Bring {daily} to the time of the point, then repeat this command"
    return (
        "What was restored is there and right; a night after this point, whole or broken off, has "
        f"replaced or removed the rest. {lead}: {fetch} . What is missing then too is damaged: try "
        "an earlier point"
    )
