# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a weekly point in the bucket of the night that was just sealed."""

from __future__ import annotations

import dataclasses
import math
from datetime import date
from typing import Sequence

from ..base.clock import Clock
from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.state_files import StateFiles
from ..bucket.layout import DAILY_DIRECTORY, WEEKLY_DIRECTORY, Amount
from ..config.schema import Config
from ..manifest.travelling import iter_upload_paths
from ..rclone.commands import Rclone
from ..rclone.name_lists import LIST_NAMES_MAX, iter_parts, write_file_list
from .model import Seal, rfc3339
from .seal import DATE_RESOLUTION_SECONDS
from .store import Store
from .weekly import COPY, WeeklyName, WeeklyPoint, weeklies_of, weekly_name


def make_weekly(
    config: Config,
    rclone: Rclone,
    store: Store,
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
    :class:`..rclone.log.RcloneError`, and the next night tries again.
    """
    name = WeeklyName(weekly_name(day), seal.id)
    if config.weekly.mode == COPY:
        _remove_unfinished(rclone, point_names, journal)
        copied = _copy(rclone, StateFiles(config.paths.state), seal, name)
        journal.info(
            f"{name.name}: B2 copied {copied} files, as many class C calls; they are stored a "
            "second time until the point expires"
        )
        seal = _counted(rclone, seal, name, clock, skew_seconds)
    point = WeeklyPoint(name.name, config.weekly.mode, rfc3339(clock.now()), seal)
    data = point.to_json().encode("utf-8")
    rclone.rcat(data, rclone.crypt(name.path))
    if not store.holds(name.path, len(data)):
        raise BackupError(
            f"{rclone.crypt(name.path)} is not listed as it was written",
            "The next night makes the weekly point again",
        )
    return name


def _copy(rclone: Rclone, state: StateFiles, seal: Seal, name: WeeklyName) -> int:
    """Let B2 copy the night's objects, and return how many; nothing is uploaded."""
    source, destination = rclone.crypt(DAILY_DIRECTORY), rclone.crypt(name.data)
    if seal.upload.files <= LIST_NAMES_MAX:
        # sync, not copy: what an earlier try of the same day left must not stay.
        return rclone.sync(source, destination).stats.server_side_copies
    # A sync holds every name in memory: 190 MB for 200,000 in one directory, where a part of the
    # list takes 98 (rclone 1.75, x86_64, GOGC=20). The price is a class B call a file.
    rclone.delete_all(destination)
    write_file_list(state.upload_list, iter_upload_paths(state.manifest))
    return sum(
        rclone.copy(
            source, destination, files_from=part, no_traverse=True, no_check_dest=True
        ).stats.server_side_copies
        for part, _count in iter_parts(state.upload_list, LIST_NAMES_MAX)
    )


def _counted(
    rclone: Rclone, seal: Seal, name: WeeklyName, clock: Clock, skew_seconds: float
) -> Seal:
    """The seal of the copy, if the copy holds what *seal* says."""
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
