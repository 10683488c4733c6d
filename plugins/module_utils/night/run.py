# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One night, from the first check to the seal and the run record.

Nothing here starts or stops a container or writes to the bucket itself: this is the order in
which the parts do their work, and what happens when one of them fails.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional
from urllib.parse import urlsplit

from ..base.clock import Clock
from ..base.errors import BackupError
from ..base.progress import ProgressBar, human_bytes
from ..base.state_files import StateFiles
from ..bucket.known_state import BucketState
from ..bucket.upload import Uploader, cancel_unfinished, plan_upload
from ..capture.copy import give_back_partial
from ..capture.rsync import RsyncStats
from ..capture.run import run_capture
from ..config.schema import Config
from ..filesystem.atomic_write import write_atomically
from ..manifest.carriers import plan_carriers
from ..manifest.hard_links import link_window, read_link_windows
from ..manifest.walk import write_manifest
from ..points.count import check_count, newest_seal
from ..points.model import Seal, ids_of_seals, parse_seal, seal_path
from ..points.prune import judge, judge_leftovers, prune
from ..points.seal import seal_night
from ..points.store import PointStore
from ..points.weekly import COPY, date_of, is_weekly_due, local_date, weeklies_of, weekly_name
from ..points.weekly_local import LocalWeeklies
from ..points.weekly_remote import make_weekly
from ..process.logs import RunLog
from ..process.runner import Runner
from ..rclone.commands import Rclone
from ..rclone.conf import read_remote
from ..rclone.remote_proof import AuthProof, prove_auth
from ..second.nightly_copy import SecondNight
from .checks import check_clock, check_maximum, check_space, check_ssd, check_state
from .cost import NightCost
from .dry_run import tell_rest
from .run_record import RunRecord, Stopwatch
from .shrink_guard import check_shrink
from .source_sizes import TreeSize, measure_tree, sizes_told
from .wait_for_dns import wait_for_names

# Pi-hole answers within seconds of its start; the router's resolver may take a minute.
NAMES_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class NightOptions:
    """How a person asked for this run."""

    dry_run: bool = False
    accept_shrink: bool = False
    accept_disks: bool = False
    progress: Optional[Callable[[str], ProgressBar]] = None


@dataclass
class Night:
    """A run under way: what it works with and what it has found out so far."""

    config: Config
    runner: Runner
    log: RunLog
    options: NightOptions
    record: RunRecord
    clock: Clock = field(default_factory=Clock)
    sizes: Dict[str, TreeSize] = field(default_factory=dict)
    before: Optional[Seal] = None

    def __post_init__(self) -> None:
        self.state = StateFiles(self.config.paths.state)
        self.cost = NightCost(self.config.cost, self.state.cost)
        calls = self.cost.counter
        self.rclone = Rclone(self.config.rclone, self.runner, self._rclone_says, calls.add)
        rclone = self.config.rclone
        self.remote = read_remote(rclone.config, rclone.raw_remote, rclone.crypt_remote)
        self.client = self.remote.client(
            sleep=self.clock.sleep, clock=self.clock.now, on_call=calls.count
        )
        self.local = LocalWeeklies(self.config, self.runner)
        self.today = local_date(self.record.started_epoch_seconds)
        self.point_names: List[str] = []
        self.store = PointStore(self.rclone, self.client, self.remote)
        self.bucket = BucketState(
            self.state, f"{self.client.endpoint} {self.remote.bucket}/{self.remote.prefix}"
        )

    def run(self) -> None:
        """Do the night; raises whatever ended it. Containers are up again in every case.

        What an interrupted run left stopped has been started before (see ``commands_night``).
        """
        try:
            self._steps()
        finally:
            if not self.options.dry_run:
                self._tell_cost()

    def _steps(self) -> None:
        with Stopwatch(self.record, "preflight"):
            self._preflight()
        with Stopwatch(self.record, "capture"):
            copied = self._capture()
        if self.options.dry_run:
            tell_rest(
                self.config,
                self.log,
                held=self.bucket.held(),
                copied=copied,
                point_names=self.point_names,
                night=self.record.id,
                local=self.local,
                today=self.today,
                now=self.clock.now(),
            )
            return
        with Stopwatch(self.record, "manifest"):
            self._describe()
        with Stopwatch(self.record, "snapshot"):
            self._snapshot()
        with Stopwatch(self.record, "upload"):
            self._upload()
        with Stopwatch(self.record, "seal"):
            seal = self._seal()
        with Stopwatch(self.record, "points"):
            self._tend_points(seal)
        with Stopwatch(self.record, "cost"):
            self._count_cost(seal)
        if self.config.second.enabled:
            with Stopwatch(self.record, "second"):
                self._tend_second(seal)

    def _preflight(self) -> None:
        self.log.step("preflight")
        if not self.options.dry_run:
            check_state(self.config.paths.state)
        disks = check_ssd(
            self.config,
            accept_disks=self.options.accept_disks,
            write_probe=not self.options.dry_run,
        )
        proof = self._prove_remote()
        for warning in proof.warnings:
            self.log.warning(warning)
        check_clock(proof.clock_skew_seconds, self.before, self.record.started_epoch_seconds)
        for source in self.config.sources:
            self.sizes[source.tree] = measure_tree(self.config, source, self.runner)
        self.record.details["sources"] = sizes_told(self.sizes)
        check_shrink(self.config.guards, self.before, self.sizes, self.options.accept_shrink)
        check_space(self.config, self.sizes)
        check_maximum(self.config, self.sizes)
        for path in disks.unrecorded:
            verb = "would be" if self.options.dry_run else "is"
            self.log.info(f"{path}: its disk {verb} remembered from now on")
        if not self.options.dry_run:
            disks.settle()
            cancel_unfinished(self.config, self.client, self.log)

    def _prove_remote(self) -> AuthProof:
        """Prove key and passwords, and find the last sealed night: what this host wrote, or on a
        new board the bucket's newest."""
        self.before = self._last_seal()
        if self.before is not None:
            # Finding its name proves the passwords too, for half the calls.
            proof = prove_auth(self.remote, None, self.client)
            self.point_names = self.store.points()
            if posixpath.basename(seal_path(self.before.id)) in self.point_names:
                return proof
        proof = prove_auth(self.remote, self.rclone, self.client)
        self.point_names = self.store.points()
        if self.before is None:
            self.before = newest_seal(self.rclone)
            if self.before is not None and not self.options.dry_run:
                write_atomically(self.state.last_seal, self.before.to_json().encode("utf-8"))
        return proof

    def _last_seal(self) -> Optional[Seal]:
        """The newest seal this host wrote, as far as it knows."""
        try:
            with open(self.state.last_seal, encoding="utf-8", errors="replace") as stream:
                return parse_seal(stream.read(), self.state.last_seal)
        except FileNotFoundError:
            return None
        except BackupError as error:
            self.log.warning(
                f"{error.message}: the newest one in the bucket counts instead. Look at the disk "
                "that holds paths.state (dmesg)"
            )
            return None

    def _capture(self) -> RsyncStats:
        try:
            result = run_capture(self.config, self.runner, self.log, dry_run=self.options.dry_run)
        finally:
            if not self.options.dry_run:
                give_back_partial(self.config.paths.staging)
        self.record.details["capture"] = result.told()
        if result.failed_groups:
            told = "; ".join(f"{name}: {why}" for name, why in result.failed_groups.items())
            raise BackupError(
                f"the capture failed ({told})",
                "The services were started again and the last sealed night is untouched",
            )
        return result.copied

    def _describe(self) -> None:
        self.log.step("manifest")
        os.makedirs(self.config.paths.daily, mode=0o700, exist_ok=True)
        walked = write_manifest(
            self.config.paths.daily,
            self.state.manifest,
            previous=self.state.manifest,
            windows=read_link_windows(self.state.link_windows),
            extra={"point": self.record.id, "host": self.config.host},
        )
        with link_window(self.state.link_windows):
            carriers = plan_carriers(self.config.paths.daily, self.state.manifest)
        self.log.info(
            f"manifest: {walked.summary.entries} entries, {walked.hashed_files} files read, "
            f"{walked.reused_files} unchanged, {carriers.carriers} under carrier names"
        )
        for path in walked.sockets:
            self.log.info(f"socket not backed up: {os.fsdecode(path)!r}")
        self.record.details["manifest"] = {
            "entries": walked.summary.entries,
            "hashed_files": walked.hashed_files,
            "hashed_bytes": walked.hashed_bytes,
            "carriers": carriers.carriers,
        }

    def _snapshot(self) -> None:
        """On its day, the weekly snapshot on the SSD; without one the night goes on."""
        names = self.local.names()
        nights = [self.before.id] if self.before else []
        if not is_weekly_due(
            self.config.weekly, self.today, [date_of(name) for name in names], nights
        ):
            return
        self.log.step("snapshot")
        name = weekly_name(self.today)
        try:
            self.local.make(name)
        except (BackupError, OSError) as error:
            self.log.warning(f"the snapshot {name} on the SSD could not be made: {error}")
            return
        self.log.info(f"snapshot {name} made of hard links")
        self.record.details["snapshot"] = name

    def _upload(self) -> None:
        self.log.step("upload")
        host = urlsplit(self.client.endpoint).hostname
        if host is not None:
            wait_for_names(host, NAMES_TIMEOUT_SECONDS, self.log)
        self.plan = plan_upload(self.state.manifest)
        held = self.bucket.held()
        self.reconciled_epoch_seconds = held.reconciled_epoch_seconds if held else 0.0
        meter = self.options.progress("upload") if self.options.progress else None
        uploader = Uploader(
            self.config,
            self.rclone,
            self.bucket,
            self.log,
            before=self.before.upload if self.before else None,
            accept_shrink=self.options.accept_shrink,
            on_progress=meter.transfer if meter else None,
        )
        started_epoch_seconds = self.clock.now()
        try:
            sent = uploader.upload(self.plan, started_epoch_seconds)
        finally:
            if meter:
                meter.end()
        if sent.reconciled:
            self.reconciled_epoch_seconds = started_epoch_seconds
        self.log.info(
            f"upload: {sent.files} files, {human_bytes(sent.bytes)} sent, {sent.hidden} hidden"
        )
        self.record.details["upload"] = dataclasses.asdict(sent)

    def _seal(self) -> Seal:
        self.log.step("count")
        try:
            check_count(self.rclone, self.plan.upload)
        except BackupError:
            self.bucket.changing()
            raise
        self.log.step("seal")
        seal = seal_night(
            self.config,
            self.rclone,
            self.client,
            self.log,
            self.plan,
            self.record.id,
            self.record.started_epoch_seconds,
            self.clock,
            self.store,
        )
        self.point_names.append(posixpath.basename(seal_path(seal.id)))
        self.bucket.sealed(self.reconciled_epoch_seconds)
        self.record.point = seal.id
        self.log.info(
            f"sealed {seal.id}: {seal.total.files} files, {human_bytes(seal.total.bytes)}"
        )
        return seal

    def _tend_points(self, seal: Seal) -> None:
        """Make the weekly point when it is due, then remove what is too old.

        The night is sealed: what fails here is a warning, and nothing is removed after it.
        """
        try:
            weekly_dates = [one.date for one in weeklies_of(self.point_names)]
            nights = ids_of_seals(self.point_names)
            if is_weekly_due(self.config.weekly, self.today, weekly_dates, nights):
                self._make_weekly(seal)
            self.log.step("prune")
            verdicts = judge(self.config, self.point_names, self.local, self.today)
            if self.record.details["upload"]["reconciled"]:
                # Only a night that failed leaves any: a look about once a week is enough.
                verdicts += judge_leftovers(self.rclone, self.point_names)
            expired = prune(
                verdicts, self.rclone, self.store, self.point_names, self.local, self.log
            )
        except (BackupError, OSError) as error:
            self.log.warning(f"the night is sealed, but {self.log.current_step} failed: {error}")
            return
        self.record.details["expired"] = [f"{one.kind} {one.name}" for one in expired]

    def _make_weekly(self, seal: Seal) -> None:
        self.log.step("weekly")
        weekly = make_weekly(
            self.config,
            self.rclone,
            self.store,
            self.log,
            seal,
            self.today,
            self.point_names,
            self.clock,
            self.client.clock_skew_seconds or 0.0,
        )
        self.point_names.append(posixpath.basename(weekly.path))
        self.log.info(f"weekly point {weekly.name} ({self.config.weekly.mode})")
        self.record.details["weekly"] = weekly.name

    def _count_cost(self, seal: Seal) -> None:
        """Count what is stored when much was compared or copied anyway; else add what was sent."""
        upload = self.record.details["upload"]
        self.cost.sealed(seal, upload["bytes"])
        made_copy = "weekly" in self.record.details and self.config.weekly.mode == COPY
        if not (upload["reconciled"] or made_copy or self.cost.never_counted):
            return
        self.log.step("cost")
        try:
            self.cost.count(self.client, self.remote, self.rclone, self.clock.now())
        except BackupError as error:
            self.log.warning(f"the night is sealed, but what is stored was not counted: {error}")

    def _tell_cost(self) -> None:
        try:
            self.record.details["cost"] = self.cost.finish(self.log, self.clock.now())
        except OSError as error:
            self.log.warning(f"the cost could not be kept: {error}")

    def _tend_second(self, seal: Seal) -> None:
        self.log.step("second")
        second = SecondNight(self.config, self.runner, self.log, self.clock, self._rclone_says)
        self.record.details["second"] = second.tend(seal, self.today, self.options.progress)

    def _rclone_says(self, level: str, message: str) -> None:
        if level in ("error", "critical"):
            self.log.error(f"rclone: {message}")
        else:
            self.log.info(f"rclone: {message}")
