# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One night, from the first check to the seal and the run record.

Nothing here starts or stops a container or writes to the bucket itself: this is the order in
which the parts do their work, and what happens when one of them fails.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional
from urllib.parse import urlsplit

from .capture import CaptureResult, run_capture
from .config import Config
from .container_sequence import recover
from .docker_api import DockerClient
from .errors import BackupError
from .files import write_atomically
from .logs import RunLog
from .manifest_carrier import plan_carriers
from .manifest_links import link_window, read_link_windows
from .manifest_walk import write_manifest
from .names import wait_for_names
from .preflight import (
    TreeSize,
    check_clock,
    check_shrink,
    check_space,
    check_ssd,
    measure_tree,
    sizes_told,
)
from .progress import ProgressBar, human_bytes
from .rclone import Rclone
from .record import RunRecord, Stopwatch
from .remote_conf import read_remote
from .remote_count import newest_seal
from .remote_proof import prove_auth
from .restore_points import Seal, parse_seal
from .runner import Runner
from .state_files import StateFiles
from .stopped_set import StoppedSet
from .upload import cancel_unfinished, check_count, plan_upload, seal_night, upload_staging

# Pi-hole answers within seconds of its start; the router's resolver may take a minute.
NAMES_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class NightOptions:
    """How a person asked for this run."""

    dry_run: bool = False
    accept_shrink: bool = False
    progress: Optional[Callable[[str], ProgressBar]] = None


@dataclass
class Night:
    """A run under way: what it works with and what it has found out so far."""

    config: Config
    runner: Runner
    log: RunLog
    options: NightOptions
    record: RunRecord
    sizes: Dict[str, TreeSize] = field(default_factory=dict)
    before: Optional[Seal] = None

    def __post_init__(self) -> None:
        self.state = StateFiles(self.config.paths.state)
        self.rclone = Rclone(self.config.rclone, self.runner, self._rclone_says)
        rclone = self.config.rclone
        self.remote = read_remote(rclone.config, rclone.raw_remote, rclone.crypt_remote)
        self.client = self.remote.client()

    def run(self) -> None:
        """Do the night; raises whatever ended it. Containers are up again in every case."""
        if not self.options.dry_run:
            with Stopwatch(self.record, "recover"):
                self._recover()
        with Stopwatch(self.record, "preflight"):
            self._preflight()
        with Stopwatch(self.record, "capture"):
            self._capture()
        if self.options.dry_run:
            return
        with Stopwatch(self.record, "manifest"):
            self._describe()
        with Stopwatch(self.record, "upload"):
            self._upload()
        with Stopwatch(self.record, "seal"):
            self._seal()

    def _recover(self) -> None:
        self.log.step("recover")
        containers = self.config.containers
        recovered = recover(
            StoppedSet(self.config.paths.state),
            DockerClient(containers.socket),
            self.log,
            start_timeout_seconds=containers.start_timeout_seconds,
        )
        for name in recovered.started:
            self.log.info(f"started {name}, which an interrupted run had left stopped")

    def _preflight(self) -> None:
        self.log.step("preflight")
        check_ssd(self.config, write_probe=not self.options.dry_run)
        proof = prove_auth(self.remote, self.rclone, self.client)
        for warning in proof.warnings:
            self.log.warning(warning)
        self.before = self._last_seal()
        check_clock(proof.clock_skew_seconds, self.before, self.record.started_epoch_seconds)
        for source in self.config.sources:
            self.sizes[source.tree] = measure_tree(self.config, source, self.runner)
        self.record.details["sources"] = sizes_told(self.sizes)
        check_shrink(self.config.guards, self.before, self.sizes, self.options.accept_shrink)
        check_space(self.config, self.sizes)
        if not self.options.dry_run:
            cancel_unfinished(self.config, self.client, self.log)

    def _last_seal(self) -> Optional[Seal]:
        """The last sealed night: what this host wrote, or on a new board the bucket's newest."""
        if os.path.exists(self.state.last_seal):
            with open(self.state.last_seal, encoding="utf-8") as stream:
                return parse_seal(stream.read(), self.state.last_seal)
        seal = newest_seal(self.rclone)
        if seal is not None and not self.options.dry_run:
            write_atomically(self.state.last_seal, seal.to_json().encode("utf-8"))
        return seal

    def _capture(self) -> None:
        result = run_capture(self.config, self.runner, self.log, dry_run=self.options.dry_run)
        self.record.details["capture"] = capture_told(result)
        if result.failed_groups:
            told = "; ".join(f"{name}: {why}" for name, why in result.failed_groups.items())
            raise BackupError(
                f"the capture failed ({told})",
                "The services were started again and the last sealed night is untouched",
            )

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

    def _upload(self) -> None:
        self.log.step("upload")
        host = urlsplit(self.client.endpoint).hostname
        if host is not None:
            wait_for_names(host, NAMES_TIMEOUT_SECONDS, self.log)
        self.plan = plan_upload(self.state.manifest, self.state.upload_list)
        bar = self.options.progress("upload") if self.options.progress else None
        try:
            result = upload_staging(
                self.config,
                self.rclone,
                self.plan,
                self.state.upload_list,
                bar.transfer if bar else None,
            )
        finally:
            if bar:
                bar.end()
        self.log.info(
            f"upload: {result.stats.transfers} files, {human_bytes(result.stats.bytes)} sent, "
            f"{result.stats.deletes} hidden"
        )
        self.record.details["upload"] = {
            "files": result.stats.transfers,
            "bytes": result.stats.bytes,
            "hidden": result.stats.deletes,
        }

    def _seal(self) -> None:
        self.log.step("count")
        check_count(self.rclone, self.plan.upload)
        self.log.step("seal")
        seal = seal_night(
            self.config,
            self.rclone,
            self.client,
            self.log,
            self.plan,
            self.record.id,
            self.record.started_epoch_seconds,
        )
        self.record.point = seal.id
        self.log.info(
            f"sealed {seal.id}: {seal.total.files} files, {human_bytes(seal.total.bytes)}"
        )

    def _rclone_says(self, level: str, message: str) -> None:
        if level in ("error", "critical"):
            self.log.error(f"rclone: {message}")
        else:
            self.log.info(f"rclone: {message}")


def capture_told(result: CaptureResult) -> Dict[str, Any]:
    """What the capture did, for the run record; times in seconds."""
    return {
        "trees": {
            tree: {"files": stats.files_transferred, "bytes": stats.bytes_transferred}
            for tree, stats in result.trees.items()
        },
        "groups": [
            {
                "name": group.name,
                "stopped": list(group.stop_order),
                "started": list(group.start_order),
                "down_seconds": {
                    name: round(seconds, 2) for name, seconds in group.down_seconds.items()
                },
                "cold_files": group.cold.files_transferred,
                "cold_bytes": group.cold.bytes_transferred,
                "error": group.error,
            }
            for group in result.groups
        ],
        "kept_running": dict(result.kept),
        "not_back": list(result.not_back),
    }
