# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second destination's part of a night: the same point there, once the bucket has it.

It never fails the night: what goes wrong is a warning that says since when there is no new point.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import shutil
from datetime import date
from typing import Any, Callable, Dict, List, Optional

from ..base.clock import Clock
from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.paths import free_bytes_at
from ..base.progress import ProgressBar, human_bytes
from ..base.state_files import StateFiles
from ..config.schema import Config
from ..filesystem.atomic_write import write_json_atomically
from ..points.count import newest_of
from ..points.model import Seal, epoch_of_point, ids_of_seals, rfc3339, seal_path
from ..points.weekly import REFERENCE, is_weekly_due, weeklies_of
from ..points.weekly_remote import make_weekly
from ..process.runner import Runner
from ..rclone.log import RcloneNoSpace
from ..rclone.move_to_history import AsideRclone, Traits
from .prune import judge_second, prune_second
from .store import Inventory, OnMessage, SecondStore, sync_disk, take_inventory, writable_second
from .upload import SecondUploader, known_manifests

MakeProgress = Optional[Callable[[str], ProgressBar]]


class SecondNight:
    """Brings the second destination to a sealed night, whose manifest is that of staging."""

    def __init__(
        self,
        config: Config,
        runner: Runner,
        journal: Journal,
        clock: Clock,
        on_message: OnMessage = None,
    ) -> None:
        self.config = config
        self.runner = runner
        self.journal = journal
        self.clock = clock
        self.on_message = on_message
        self.state = StateFiles(config.paths.state)

    def tend(self, seal: Seal, today: date, progress: MakeProgress = None) -> Dict[str, Any]:
        """Do all of it for the night *seal*; what happened, for the run record.

        Only a signal ends the night here.
        """
        told: Dict[str, Any] = {}
        try:
            with writable_second(self.config, self.runner, self.on_message) as (rclone, traits):
                there = take_inventory(rclone)
                told.update(self._bring(rclone, traits, there, seal, progress))
                told["expired"] = self._look_after(rclone, there, seal, today)
        except (BackupError, OSError) as error:
            told["problem"] = self._warn(error, is_sealed=bool(told))
        return {"point": last_point(self.state), **told}

    def _bring(
        self,
        rclone: AsideRclone,
        traits: Traits,
        there: Inventory,
        seal: Seal,
        progress: MakeProgress,
    ) -> Dict[str, Any]:
        """Send the night and seal it there."""
        _check_order(there, seal)
        newest = newest_of(rclone, there.points)
        meter = progress("second") if progress else None
        try:
            with known_manifests(rclone, self.state, newest, there.manifests) as known:
                moved = SecondUploader(
                    rclone,
                    self.state,
                    self.config.paths.daily,
                    self.journal,
                    traits,
                    meter.transfer if meter else None,
                ).upload(seal.id, known, seal.upload)
        finally:
            if meter:
                meter.end()
        sync_disk(self.config, self.runner)
        store = SecondStore(rclone, self.state.directory)
        data = seal.to_json().encode("utf-8")
        rclone.rcat(data, rclone.crypt(seal_path(seal.id)))
        if not store.holds(seal_path(seal.id), len(data)):
            raise BackupError(
                f"{rclone.crypt(seal_path(seal.id))} can't be read back",
                "Check the disk or the server of the second destination",
            )
        sync_disk(self.config, self.runner)
        write_json_atomically(self.state.second, {"point": seal.id})
        shutil.copyfile(self.state.manifest, self.state.second_manifest)
        self.journal.info(
            f"second destination: {moved.files} files, {human_bytes(moved.bytes)} sent, "
            f"{moved.removed} moved aside; sealed {seal.id}"
        )
        return dataclasses.asdict(moved)

    def _look_after(
        self, rclone: AsideRclone, there: Inventory, seal: Seal, today: date
    ) -> List[str]:
        """Make the weekly point when it is due, then delete what no point needs any more."""
        store = SecondStore(rclone, self.state.directory)
        names = [*there.points, posixpath.basename(seal_path(seal.id))]
        dates = [one.date for one in weeklies_of(names)]
        if is_weekly_due(self.config.weekly, today, dates, ids_of_seals(names)):
            made = make_weekly(
                self._by_reference(),
                rclone,
                store,
                self.journal,
                seal,
                today,
                names,
                self.clock,
                0.0,
            )
            names.append(posixpath.basename(made.path))
            self.journal.info(f"second destination: weekly point {made.name}")
        verdicts = judge_second(self.config, names, there, today)
        expired = prune_second(
            self.config, self.runner, self.journal, rclone, there, names, verdicts
        )
        return [verdict.name for verdict in expired]

    def _by_reference(self) -> Config:
        """Here a weekly point needs no copy: its history stays for as long as it does."""
        weekly = dataclasses.replace(self.config.weekly, mode=REFERENCE)
        return dataclasses.replace(self.config, weekly=weekly)

    def _warn(self, error: Exception, is_sealed: bool) -> str:
        why = str(error)
        path = self.config.second.path
        if isinstance(error, RcloneNoSpace) and path:
            why = (
                f"the disk at lepotato_backup_second_path ({path}) is full: it has "
                f"{human_bytes(free_bytes_at(path))} left, and more is needed. Make room on it or "
                "use a larger one; the points on it are whole"
            )
        if is_sealed:
            self.journal.warning(f"the second destination has tonight's point, but: {why}")
        else:
            newest = last_point(self.state)
            since = f"since {rfc3339(epoch_of_point(newest))}" if newest else "yet"
            self.journal.warning(f"the second destination has no new point {since}: {why}")
        return why


def _check_order(there: Inventory, seal: Seal) -> None:
    nights = [one.point_id for one in there.histories]
    latest = max([*nights, *there.manifests, *ids_of_seals(there.points)], default="")
    if latest >= seal.id:
        raise BackupError(
            f"the second destination holds the night {latest}, which is not before {seal.id}",
            "Check this host's clock, and that no other host writes to the same place",
        )


def last_point(state: StateFiles) -> Optional[str]:
    """The newest night that this host sealed on its second destination, as far as it knows."""
    try:
        with open(state.second, encoding="utf-8") as stream:
            point: str = json.load(stream)["point"]
            return point
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
