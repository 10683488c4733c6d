# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone for the second destination: what a night replaces or removes is moved aside, not lost.

A plain disk or server has no version history. There the old version of a file is moved to a
directory of its own, which on a disk and over SFTP is a rename. Every command makes one attempt:
a second one would move the first one's half-done work over the good version it had put aside.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any, Callable, List, Optional

from ..base.progress import TransferStats
from .commands import Rclone
from .log import RcloneError, RcloneNoSpace, RcloneResult, RcloneUndecryptable

# What rclone calls the precision of a remote that keeps no modification times: 100 years.
NO_TIMES_MS = 100 * 365 * 24 * 3600 * 1000
MILLISECOND_NANOSECONDS = 10**6

CHECK_DISK = (
    "Check the disk at lepotato_backup_second_path (dmesg, its file system), or the server in "
    "lepotato_backup_second_remote and its password"
)

# The manifest has the times of directories. Not a flag: rclone before 1.66 does not know it.
_ENVIRONMENT = {"RCLONE_NO_UPDATE_DIR_MODTIME": "true"}

OnProgress = Optional[Callable[[TransferStats], None]]


@dataclass(frozen=True)
class Traits:
    """What the remote can do: how exact its modification times are, in milliseconds, whether it
    has empty directories, and tells ``A`` and ``a`` apart."""

    time_step_ms: int
    has_directories: bool
    tells_case: bool

    @property
    def keeps_times(self) -> bool:
        """Whether it keeps modification times at all."""
        return self.time_step_ms < NO_TIMES_MS


# Of a disk with a file system of Linux: whether it tells the cases apart is tried out.
DISK_TRAITS = Traits(time_step_ms=1, has_directories=True, tells_case=True)


class AsideRclone(Rclone):
    """Further verbs of :class:`.commands.Rclone`, for a remote without a version history."""

    def traits(self) -> Traits:
        """What the remote below the encryption can do."""
        result = self._run(["backend", "features", self.crypt()], f"asking what {self.crypt()} can")
        raw = json.loads(result.stdout)
        features = raw["Features"]
        return Traits(
            time_step_ms=max(1, int(raw["Precision"]) // MILLISECOND_NANOSECONDS),
            has_directories=bool(features["CanHaveEmptyDirectories"]),
            tells_case=not features["CaseInsensitive"],
        )

    def names_of_two_levels(self, without: str) -> List[str]:
        """What lies in the crypt remote and in its directories but *without*, with their path;
        directories have a '/' at the end. None when nothing is there yet."""
        result = self._run(
            [
                *("lsf", "--csv", "--recursive", "--max-depth=2"),
                f"--exclude=/{without}/**",
                self.crypt(),
            ],
            f"listing {self.crypt()}",
            empty_is_fine=True,
            quiet=True,
        )
        return sorted(row[0] for row in csv.reader(result.stdout.splitlines(keepends=True)))

    def copy_aside(
        self,
        source: str,
        destination: str,
        *,
        files_from: str,
        aside: str,
        ignore_times: bool,
        on_progress: OnProgress = None,
    ) -> RcloneResult:
        """Copy the files named in *files_from*; what they replace is moved below *aside*.

        *ignore_times* sends all of them, otherwise only those whose size or time differs.
        """
        options = ["--no-traverse", f"--files-from-raw={files_from}", f"--backup-dir={aside}"]
        if ignore_times:
            options.append("--ignore-times")
        return self._transfer(
            ["copy", *options, source, destination], False, False, on_progress, retries=1
        )

    def move_listed(self, source: str, destination: str, files_from: str) -> RcloneResult:
        """Move the files named in *files_from* from *source* to *destination*, both of this
        remote; what is not there is no error."""
        options = ["--no-traverse", f"--files-from-raw={files_from}"]
        return self._transfer(
            ["move", *options, source, destination], False, False, None, retries=1
        )

    def remove_empty_directories(self, below: str) -> None:
        """Remove every empty directory below *below*: a file may have to take its name."""
        self._unless_missing(["rmdirs", "--leave-root", below], f"tidying {below}")

    def purge(self, directory: str) -> None:
        """Delete *directory* with all it holds, for good; nothing there is no error."""
        self._unless_missing(["purge", directory], f"deleting {directory}")

    def _unless_missing(self, command: List[str], what: str) -> None:
        try:
            self._run(command, what, quiet=True)
        except RcloneError as error:
            if error.result is None or error.result.exit_code != 3:
                raise

    def _run(self, *arguments: Any, **options: Any) -> RcloneResult:
        options["env"] = {**(options.get("env") or {}), **_ENVIRONMENT}
        try:
            return super()._run(*arguments, **options)
        except (RcloneUndecryptable, RcloneNoSpace):
            raise
        except RcloneError as error:
            # The others' hints are about B2.
            raise type(error)(error.message, CHECK_DISK, error.result) from error
