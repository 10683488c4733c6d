# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a weekly point in the bucket of the night that was just sealed."""

from __future__ import annotations

import dataclasses
import math
from datetime import date
from typing import Sequence

from .clock import Clock
from .config import Config
from .errors import BackupError
from .journal import Journal
from .point_store import PointStore
from .rclone import Rclone
from .restore_points import DAILY_DIRECTORY, WEEKLY_DIRECTORY, Amount, Seal, rfc3339
from .seal import DATE_RESOLUTION_SECONDS
from .weekly_points import COPY, WeeklyName, WeeklyPoint, weeklies_of, weekly_name


def make_weekly(
    config: Config,
    rclone: Rclone,
    store: PointStore,
    journal: Journal,
    seal: Seal,
    day: date,
    point_names: Sequence[str],
    clock: Clock,
    skew_seconds: float,
) -> WeeklyName:
    """Name the sealed night *seal* as the weekly point of *day*; in copy mode copy it first.

    *point_names* are the objects of the points directory, *skew_seconds* is how far B2's clock is
    ahead. The point is written last and found under its name; raises :class:`BackupError` or
    :class:`.rclone_log.RcloneError`, and the next night tries again.
    """
    name = WeeklyName(weekly_name(day), seal.id)
    if config.weekly.mode == COPY:
        _remove_unfinished(rclone, point_names, journal)
        seal = _copy(rclone, journal, seal, name, clock, skew_seconds)
    point = WeeklyPoint(name.name, config.weekly.mode, rfc3339(clock.now()), seal)
    data = point.to_json().encode("utf-8")
    rclone.rcat(data, rclone.crypt(name.path))
    if not store.holds(name.path, len(data)):
        raise BackupError(
            f"{rclone.crypt(name.path)} is not listed as it was written",
            "The next night makes the weekly point again",
        )
    return name


def _copy(
    rclone: Rclone,
    journal: Journal,
    seal: Seal,
    name: WeeklyName,
    clock: Clock,
    skew_seconds: float,
) -> Seal:
    """Let B2 copy the night's objects; nothing is uploaded. Returns the seal of the copy."""
    # sync, not copy: what an earlier try of the same day left must not stay.
    stats = rclone.sync(rclone.crypt(DAILY_DIRECTORY), rclone.crypt(name.data)).stats
    journal.info(
        f"{name.name}: B2 copied {stats.server_side_copies} files, as many class C calls; they are "
        "stored a second time until the point expires"
    )
    found = rclone.size(rclone.crypt(name.data))
    if Amount(found.files, found.bytes) != seal.upload:
        raise BackupError(
            f"the copy {name.data} has {found.files} files of {found.bytes} bytes and not "
            f"{seal.upload.files} of {seal.upload.bytes}: there is no weekly point of it",
            "The next night copies again",
        )
    version_at = math.ceil(clock.now() + skew_seconds + DATE_RESOLUTION_SECONDS)
    return dataclasses.replace(seal, data=name.data, version_at=rfc3339(version_at))


def _remove_unfinished(rclone: Rclone, point_names: Sequence[str], journal: Journal) -> None:
    """Hide copies that never became a point: nobody would ever prune them."""
    known = {one.name for one in weeklies_of(point_names)}
    for directory in rclone.names(rclone.crypt(WEEKLY_DIRECTORY)):
        name = directory.rstrip("/")
        if name not in known:
            journal.info(f"hiding the unfinished copy {name}")
            rclone.delete_all(rclone.crypt(f"{WEEKLY_DIRECTORY}/{name}"))
