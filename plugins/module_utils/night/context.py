# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night works with and what it has found out so far: all that its stages hand on.

A stage takes what it needs from the :class:`Night` and leaves there what later ones need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence

from ..base.clock import Clock
from ..base.progress import ProgressBar
from ..base.state_files import StateFiles
from ..bucket.known_state import BucketState
from ..bucket.upload import Sent, UploadPlan
from ..capture.rsync import RsyncStats
from ..config.schema import Config
from ..points.model import Seal
from ..points.store import PointStore
from ..points.weekly import local_date
from ..points.weekly_local import LocalWeeklies
from ..process.logs import RunLog
from ..process.runner import Runner
from ..rclone.commands import Rclone
from ..rclone.conf import read_remote
from .cost_books import NightCost
from .run_record import RunRecord
from .source_sizes import TreeSize


@dataclass(frozen=True)
class NightOptions:
    """How a person asked for this run."""

    dry_run: bool = False
    accept_shrink: bool = False
    accept_disks: bool = False
    accept_writer: bool = False
    progress: Optional[Callable[[str], ProgressBar]] = None


@dataclass(eq=False, repr=False)
class Night:
    """A run under way.

    What has no default is there once its stage is done: *copied* by the capture, *plan* and *sent*
    by the upload, *seal* by the seal. *before* is the last sealed night, None before the first;
    *point_names* are the objects of the points in the bucket, in a dry run with those that would
    be made. *unmended* are staged files that are damaged. *distrust* is why this host's note of
    the bucket is not believed. *warned_stages* are the names of stages whose failure became a
    warning.
    """

    config: Config
    runner: Runner
    log: RunLog
    options: NightOptions
    record: RunRecord
    clock: Clock = field(default_factory=Clock)
    sizes: Dict[str, TreeSize] = field(default_factory=dict)
    before: Optional[Seal] = None
    distrust: str = ""
    unmended: Sequence[bytes] = ()
    point_names: List[str] = field(default_factory=list)
    warned_stages: List[str] = field(default_factory=list)
    copied: RsyncStats = field(init=False)
    plan: UploadPlan = field(init=False)
    sent: Sent = field(init=False)
    reconciled_epoch_seconds: float = field(init=False)
    seal: Seal = field(init=False)

    def __post_init__(self) -> None:
        self.state = StateFiles(self.config.paths.state)
        self.cost = NightCost(self.config.cost, self.state.cost)
        calls = self.cost.counter
        self.rclone = Rclone(self.config.rclone, self.runner, self.rclone_says, calls.add)
        rclone = self.config.rclone
        self.remote = read_remote(rclone.config, rclone.raw_remote, rclone.crypt_remote)
        self.client = self.remote.client(
            sleep=self.clock.sleep, clock=self.clock.now, on_call=calls.count
        )
        self.local = LocalWeeklies(self.config, self.runner)
        self.today = local_date(self.record.started_epoch_seconds)
        self.store = PointStore(self.rclone, self.client, self.remote)
        self.bucket = BucketState(
            self.state, f"{self.client.endpoint} {self.remote.bucket}/{self.remote.prefix}"
        )

    def rclone_says(self, level: str, message: str) -> None:
        """Put a message of rclone's into the log."""
        if level in ("error", "critical"):
            self.log.error(f"rclone: {message}")
        else:
            self.log.info(f"rclone: {message}")
