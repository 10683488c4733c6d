# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From staging to the bucket: send what the manifest names, hide what it no longer names.

When this host knows what the bucket holds, only the difference is sent and nothing is listed:
measured over 3,000 files with nothing changed, 0 calls instead of 40, and no memory for a
listing. Otherwise the whole bucket is listed and compared, and what is there is not sent again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Iterator, Optional, Tuple

from ..b2.api import B2Client
from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.progress import TransferStats
from ..base.state_files import StateFiles
from ..config.schema import Config
from ..manifest.file import read_entries
from ..manifest.model import FILE, ManifestError, to_text
from ..manifest.travelling import DELETE, iter_upload_changes
from ..rclone.commands import Rclone
from ..rclone.log import (
    RcloneCapExceeded,
    RcloneError,
    RcloneNoSpace,
    RcloneStalled,
    RcloneUnauthorized,
)
from ..rclone.name_lists import ListWriter, iter_parts, read_listing
from .difference import iter_bucket_changes
from .known_state import BucketState, Held
from .layout import DAILY_DIRECTORY, Amount

DAY_SECONDS = 86400
# Nights don't start to the second, and a week must not become eight days.
RECONCILE_EARLY_SECONDS = DAY_SECONDS // 2

# A few files fewer in a small backup is a person tidying up.
DELETE_FLOOR_FILES = 50

# As often as rclone tries a whole sync by default: a connection that comes and goes needs more than
# one go, and what was sent is not sent again.
COMPARISONS_MAX = 3

# Errors that a full comparison would run into again.
_FINAL_ERRORS = (RcloneCapExceeded, RcloneNoSpace, RcloneStalled, RcloneUnauthorized)

OnProgress = Optional[Callable[[TransferStats], None]]


@dataclass(frozen=True)
class UploadPlan:
    """What the bucket holds below ``daily/`` when the night is done, and what was captured."""

    upload: Amount
    trees: Dict[str, Amount]


@dataclass(frozen=True)
class Sent:
    """What an upload did: files and (encrypted) bytes sent, files hidden. *reconciled* says that
    the whole bucket was compared."""

    files: int
    bytes: int
    hidden: int
    reconciled: bool


def plan_upload(manifest: str) -> UploadPlan:
    """Count what travels and what was captured; one pass over the manifest."""
    sent = _Counter()
    trees: Dict[str, _Counter] = {}
    for entry in read_entries(manifest):
        if entry.type != FILE:
            continue
        tree = to_text(entry.path.split(b"/", 1)[0])
        trees.setdefault(tree, _Counter()).add(entry.size)
        if entry.link is None:
            sent.add(entry.size)
    return UploadPlan(sent.amount, {tree: counter.amount for tree, counter in trees.items()})


def reconcile_reason(held: Optional[Held], now: float, reconcile_days: int) -> str:
    """Why the whole bucket must be compared tonight; "" when the difference is enough."""
    if held is None:
        return "the last upload did not end with a seal, or this host made none yet"
    age_seconds = now - held.reconciled_epoch_seconds
    if not 0 <= age_seconds < reconcile_days * DAY_SECONDS - RECONCILE_EARLY_SECONDS:
        return f"the last comparison was {age_seconds / DAY_SECONDS:.0f} days ago"
    return ""


def deletions_allowed(percent_max: int, before: Optional[Amount], accepted: bool) -> Optional[int]:
    """How many files a night may hide at most; None when there is no limit."""
    if before is None or accepted:
        return None
    return max(DELETE_FLOOR_FILES, before.files * percent_max // 100)


class Uploader:
    """Brings ``daily/`` in the bucket to what a manifest of staging says.

    *before* is what the last sealed night had there, for the limit on deletions, which
    *accept_shrink* lifts.
    """

    def __init__(
        self,
        config: Config,
        rclone: Rclone,
        bucket: BucketState,
        journal: Journal,
        *,
        before: Optional[Amount],
        accept_shrink: bool,
        on_progress: OnProgress = None,
    ) -> None:
        self.config = config
        self.rclone = rclone
        self.bucket = bucket
        self.journal = journal
        self.state = StateFiles(config.paths.state)
        self.on_progress = on_progress
        self.delete_max = deletions_allowed(config.guards.delete_percent_max, before, accept_shrink)

    def upload(self, plan: UploadPlan, now: float) -> Sent:
        """Make ``daily/`` hold exactly the planned files.

        What an interrupted night already sent is not sent again. Raises
        :class:`..rclone.log.RcloneError`, or :class:`BackupError` when there is nothing to hold
        or too much would be hidden.
        """
        if not plan.upload.files:
            raise BackupError(
                "staging holds no file at all",
                "The sources must have been empty: nothing was changed in the bucket",
            )
        held = self.bucket.held()
        reason = reconcile_reason(held, now, self.config.upload.reconcile_days)
        if held is not None and not reason:
            try:
                return self._send(iter_upload_changes(held.manifest, self.state.manifest))
            except _FINAL_ERRORS:
                raise
            except (RcloneError, ManifestError) as error:
                reason = error.message
        for attempts_left in reversed(range(COMPARISONS_MAX)):
            self.journal.info(f"comparing the whole bucket: {reason}")
            try:
                return dataclasses.replace(self._send(self._compared()), reconciled=True)
            except _FINAL_ERRORS:
                raise
            except RcloneError as error:
                if not attempts_left:
                    raise
                reason = error.message
        raise AssertionError("the last attempt returns or raises")

    def _compared(self) -> Iterator[Tuple[str, bytes]]:
        """List the bucket; yields what it lacks and what it has too much."""
        self.rclone.list_to(self.rclone.crypt(DAILY_DIRECTORY), self.state.bucket_list)
        return iter_bucket_changes(read_listing(self.state.bucket_list), self.state.manifest)

    def _send(self, changes: Iterable[Tuple[str, bytes]]) -> Sent:
        uploads, deletions, lost = self._write_lists(changes)
        if self.delete_max is not None and lost > self.delete_max:
            raise BackupError(
                f"{deletions} files of the bucket would be hidden, {lost} more than come anew in "
                f"their trees, and agent_delete_percent_max allows {self.delete_max}",
                "Look whether the sources are what they should be. If so many files really went, "
                "run backup-to-b2.sh --accept-shrink once",
            )
        if uploads or deletions:
            self.bucket.changing()
        sent = TransferStats()
        for part, count in iter_parts(self.state.upload_list):
            sent = self._send_part(part, count, sent)
        destination = self.rclone.crypt(DAILY_DIRECTORY)
        hidden = 0
        for part, count in iter_parts(self.state.hide_list):
            hidden += self.rclone.delete_listed(destination, part, max_delete=count).stats.deletes
        return Sent(sent.transfers, sent.bytes, hidden, reconciled=False)

    def _send_part(self, part: str, count: int, before: TransferStats) -> TransferStats:
        """Send a part of the list; returns what was sent with it and *before* it."""

        def on_progress(stats: TransferStats) -> None:
            if self.on_progress:
                self.on_progress(before.plus(stats))

        # One attempt: a second one would send everything again. What failed is sent by the
        # comparison that follows, which sends nothing twice.
        stats = self.rclone.copy(
            self.config.paths.daily,
            self.rclone.crypt(DAILY_DIRECTORY),
            files_from=part,
            no_traverse=True,
            no_check_dest=True,
            retries=1,
            on_progress=on_progress if self.on_progress else None,
        ).stats
        if stats.transfers < count:
            raise RcloneError(f"only {stats.transfers} of {count} files were sent")
        return before.plus(stats)

    def _write_lists(self, changes: Iterable[Tuple[str, bytes]]) -> Tuple[int, int, int]:
        """Write both lists in one pass; returns how many files to send and to hide, and by how many
        the trees shrink that lose more than they get.

        A camera's folder, or rotated logs, have only new names each day: nothing is lost there.
        """
        balance: Dict[bytes, int] = {}
        with (
            ListWriter(self.state.upload_list) as uploads,
            ListWriter(self.state.hide_list) as deletions,
        ):
            for kind, path in changes:
                (deletions if kind == DELETE else uploads).write(path)
                tree = path.split(b"/", 1)[0]
                balance[tree] = balance.get(tree, 0) + (1 if kind == DELETE else -1)
            lost = sum(count for count in balance.values() if count > 0)
            return uploads.count, deletions.count, lost


def cancel_unfinished(config: Config, client: B2Client, journal: Journal) -> None:
    """Cancel the large uploads that a killed run left unfinished."""
    cancelled = client.cancel_unfinished(config.bucket, f"{config.host_prefix}/")
    if cancelled:
        journal.info(f"cancelled {len(cancelled)} unfinished uploads of an interrupted run")


class _Counter:
    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0

    def add(self, size_bytes: int) -> None:
        self.files += 1
        self.bytes += size_bytes

    @property
    def amount(self) -> Amount:
        return Amount(self.files, self.bytes)
