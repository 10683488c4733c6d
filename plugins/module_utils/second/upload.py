# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the second destination's ``daily/`` to tonight's manifest, and keep what it replaces.

What ``daily/`` holds is known from the manifests there: that of the newest sealed night and those
of nights that were interrupted since, each of which lies there before its first change. A file is
sent when it differs from any of them, so that nothing depends on modification times, which some
servers don't keep, and nothing is listed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import Iterable, Iterator, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.name_set import NameSet
from ..base.progress import TransferStats
from ..base.state_files import StateFiles
from ..bucket.difference import iter_bucket_changes
from ..bucket.layout import DAILY_DIRECTORY, Amount
from ..manifest.file import check_manifest
from ..manifest.model import ManifestError, content_path, merged
from ..manifest.travelling import DELETE, iter_travelling
from ..points.model import Seal, manifest_path
from ..rclone.log import RcloneError, RcloneNoSpace, RcloneStalled, RcloneUnauthorized
from ..rclone.move_to_history import AsideRclone, OnProgress, Traits
from ..rclone.name_lists import iter_parts, read_listing, write_file_list
from ..restore.open_point import fetch_manifest
from .store import History

# The second attempt compares all that is there.
ATTEMPTS = 2
_FINAL_ERRORS = (RcloneNoSpace, RcloneStalled, RcloneUnauthorized)

# SFTP keeps times in whole seconds.
SECOND_NANOSECONDS = 10**9


@dataclass(frozen=True)
class Moved:
    """What an upload did: files and (encrypted) bytes sent, files removed, and whether all of it
    was compared. What replaced and removed files were lies in the history."""

    files: int = 0
    bytes: int = 0
    removed: int = 0
    compared: bool = False


class Difference:
    """What must be done to a ``daily/`` that one of several manifests describes, or a mixture.

    *certain* files must be sent whatever lies there; *likely* ones may have been sent by an
    interrupted night, and their size or time tells; *gone* ones must go.
    """

    def __init__(self) -> None:
        self.certain, self.likely, self.gone = NameSet(), NameSet(), NameSet()

    def __enter__(self) -> Difference:
        return self

    def __exit__(self, *_exception: object) -> None:
        for names in (self.certain, self.likely, self.gone):
            names.__exit__()

    def add(self, before: str, after: str, *, may_be_sent: bool) -> None:
        """Add what differs between two manifests; *may_be_sent*: an interrupted night came
        between them."""
        for old, new in merged(iter_travelling(before), iter_travelling(after)):
            if old is not None and (new is None or content_path(old) != content_path(new)):
                self.gone.add(content_path(old))
            if new is None:
                continue
            path = content_path(new)
            if old is None or path != content_path(old):
                (self.likely if may_be_sent else self.certain).add(path)
            elif (old.size, old.mtime_ns, old.sha256) != (new.size, new.mtime_ns, new.sha256):
                looks_new = (old.size, _seconds(old.mtime_ns)) != (new.size, _seconds(new.mtime_ns))
                (self.likely if may_be_sent and looks_new else self.certain).add(path)

    def see(self, changes: Iterable[Tuple[str, bytes]]) -> None:
        """Take *changes*, of a listing of what is really there, for the truth about what must go.

        A file that a manifest has may be a directory by now, which no list of files may name.
        """
        self.gone.__exit__()
        self.gone = NameSet()
        for kind, path in changes:
            (self.gone if kind == DELETE else self.certain).add(path)

    def settle(self) -> None:
        """Let each name be in one set only."""
        for name in self.certain:
            self.likely.discard(name)


class SecondUploader:
    """Brings ``daily/`` of the second destination to what the manifest of staging says."""

    def __init__(
        self,
        rclone: AsideRclone,
        state: StateFiles,
        staging: str,
        journal: Journal,
        traits: Traits,
        on_progress: OnProgress = None,
    ) -> None:
        self.rclone = rclone
        self.state = state
        self.staging = staging
        self.journal = journal
        self.traits = traits
        self.on_progress = on_progress
        self.daily = rclone.crypt(DAILY_DIRECTORY)

    def upload(self, identifier: str, known: Known, expected: Amount) -> Moved:
        """Make ``daily/`` hold exactly the night *identifier*, *expected* in all.

        Raises :class:`..rclone.log.RcloneError` and :class:`BackupError`; every former point is
        whole then.
        """
        # From here on its changes are known, whatever ends it.
        self.rclone.copyto(self.state.manifest, self.rclone.crypt(manifest_path(identifier)))
        # What was put aside is never put aside upon: a place of its own for each go.
        asides = (self.rclone.crypt(History(identifier, number).path) for number in range(1, 10))
        attempt = 1
        while True:
            compared = attempt > 1 or known.before is None or not known.is_complete
            try:
                moved = self._send(next(asides), known, compared, is_first=attempt == 1)
                self._check(expected)
                return moved
            except _FINAL_ERRORS:
                raise
            except BackupError as error:
                # An error of anything but rclone or the count is not mended by trying again.
                if attempt == ATTEMPTS or not isinstance(error, (RcloneError, CountError)):
                    raise
                self.journal.info(f"comparing the whole second destination: {error.message}")
            attempt += 1

    def _send(self, aside: str, known: Known, compared: bool, is_first: bool) -> Moved:
        is_clean = is_first and known.is_complete and not known.interrupted
        with Difference() as difference:
            if known.before is not None:
                difference.add(known.before, self.state.manifest, may_be_sent=not is_clean)
            for manifest in known.interrupted:
                difference.add(manifest, self.state.manifest, may_be_sent=False)
            if compared:
                self.rclone.list_to(self.daily, self.state.second_listing)
                difference.see(
                    iter_bucket_changes(
                        read_listing(self.state.second_listing),
                        self.state.manifest,
                        self.traits.time_step_ms,
                    )
                )
            difference.settle()
            return self._apply(difference, aside, compared)

    def _apply(self, difference: Difference, aside: str, compared: bool) -> Moved:
        # What is gone goes first: a directory may become a file.
        removed = write_file_list(self.state.second_list, difference.gone)
        for part, _count in iter_parts(self.state.second_list):
            self.rclone.move_listed(self.daily, aside, part)
        if removed and self.traits.has_directories:
            self.rclone.remove_empty_directories(self.daily)
        sent = TransferStats()
        for names, ignore_times in (
            (difference.certain, True),
            (difference.likely, not self.traits.keeps_times),
        ):
            write_file_list(self.state.second_list, names)
            for part, _count in iter_parts(self.state.second_list):
                sent = self._send_part(part, aside, ignore_times, sent)
        return Moved(sent.transfers, sent.bytes, removed, compared)

    def _send_part(
        self, part: str, aside: str, ignore_times: bool, before: TransferStats
    ) -> TransferStats:
        """Send a part of the list; returns what was sent with it and *before* it."""

        def on_progress(stats: TransferStats) -> None:
            if self.on_progress:
                self.on_progress(before.plus(stats))

        return before.plus(
            self.rclone.copy_aside(
                self.staging,
                self.daily,
                files_from=part,
                aside=aside,
                ignore_times=ignore_times,
                on_progress=on_progress if self.on_progress else None,
            ).stats
        )

    def _check(self, expected: Amount) -> None:
        found = self.rclone.size(self.daily)
        if (found.files, found.bytes) != (expected.files, expected.bytes):
            raise CountError(
                f"the second destination holds {found.files} files of {found.bytes} bytes below "
                f"daily/ and not {expected.files} of {expected.bytes}",
                "Its former points are whole; the next night tries again. When it happens again, "
                "check whether another host writes to the same place",
            )


class CountError(BackupError):
    """The second destination does not hold what was sent."""


@dataclass(frozen=True)
class Known:
    """What ``daily/`` may hold: the manifest *before* of the newest sealed night (None: there is
    none) and those of nights that were *interrupted* since; *is_complete*: all could be read."""

    before: Optional[str]
    interrupted: Tuple[str, ...]
    is_complete: bool = True


@contextlib.contextmanager
def known_manifests(
    rclone: AsideRclone, state: StateFiles, newest: Optional[Seal], nights: Sequence[str]
) -> Iterator[Known]:
    """The manifests of *newest* and of the unsealed ones after it of the *nights* that have one,
    downloaded for a while."""
    if newest is not None:
        fetch_manifest(rclone, newest, state.second_manifest)
    interrupted = []
    is_complete = True
    with tempfile.TemporaryDirectory(prefix="second-", dir=state.directory) as directory:
        for identifier in nights:
            if newest is not None and identifier <= newest.id:
                continue
            path = os.path.join(directory, identifier)
            try:
                rclone.copyto(rclone.crypt(manifest_path(identifier)), path)
                check_manifest(path)
                interrupted.append(path)
            except (RcloneError, ManifestError):
                # Cut off while it was written: then nothing was changed under its name.
                is_complete = False
        before = state.second_manifest if newest is not None else None
        yield Known(before, tuple(interrupted), is_complete)


def _seconds(nanoseconds: int) -> int:
    return nanoseconds // SECOND_NANOSECONDS
