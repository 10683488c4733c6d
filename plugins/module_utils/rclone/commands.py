# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the night calls rclone: few verbs, always with the measured flags and a watchdog.

Memory: with Go's collector at 20 %, no read-ahead buffer and 5 MiB chunks rclone stays under
90 MB where its defaults take 717 MB to 1.3 GB (DESIGN, "What we measured"). rclone's cleanup
commands are never run: they delete the history and, over an unfinished upload, the good file.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from ..b2.call_classes import Calls
from ..b2.errors import B2BadKey
from ..base.errors import BackupError, CommandError
from ..base.progress import TransferStats
from ..config.schema import Rclone as RcloneConfig
from ..process.runner import Runner
from .call_estimate import estimate_calls
from .conf import read_remote
from .flags import common_flags, environment
from .log import (
    LogReader,
    RcloneError,
    RcloneNotFound,
    RcloneResult,
    RcloneStalled,
    RcloneUnauthorized,
    error_from,
)
from .name_lists import TIME_FORMAT
from .watchdog import StallWatch

STATS_SECONDS = 10
PROGRESS_SECONDS = 1
# rclone 1.75 takes no more at once.
CRYPTDECODE_NAMES_MAX = 10
# With a revoked key rclone goes on trying for hours: ask B2 after this long without progress.
KEY_CHECK_SECONDS = 60.0

# The shell tells the process ID, which rclone then keeps, for the watchdog; "$1" is a file for
# standard output, or empty. No variable has a name: Ansible's run_command would replace it.
_LAUNCH = """printf '{"pid":%s}\\n' "$$" >&2
if [ -n "$1" ]; then exec >"$1"; fi
shift
exec "$@\""""


@dataclass(frozen=True)
class Size:
    """How much lies below a path: objects and their plain bytes."""

    files: int
    bytes: int


class Rclone:
    """Runs rclone with one configuration.

    *on_message* gets the level and one readable line for everything rclone logs, *on_calls* what
    each command asked of B2 (estimated). Every method raises an :class:`RcloneError` (its
    subclasses say what kind) when rclone fails; the error carries the :class:`RcloneResult`.
    """

    def __init__(
        self,
        config: RcloneConfig,
        runner: Runner,
        on_message: Optional[Callable[[str, str], None]] = None,
        on_calls: Optional[Callable[[Calls], None]] = None,
    ) -> None:
        self.config = config
        self.runner = runner
        self.on_message = on_message
        self.on_calls = on_calls

    def crypt(self, path: str = "") -> str:
        """*path* on the crypt remote, as rclone names it."""
        return f"{self.config.crypt_remote}:{path}"

    def sync(
        self,
        source: str,
        destination: str,
        *,
        files_from: str = "",
        exclude: Sequence[str] = (),
        max_delete: Optional[int] = None,
        dry_run: bool = False,
        fast_list: bool = True,
        on_progress: Optional[Callable[[TransferStats], None]] = None,
    ) -> RcloneResult:
        """Make *destination* equal to *source*: copy what differs, then hide what is gone.

        Symlinks, pipes, sockets and devices are skipped without an error: the manifest carries
        them. *files_from* names a file written by :func:`.name_lists.write_file_list`: the
        destination then holds exactly those. *exclude* are rclone filter patterns. rclone deletes
        nothing when a file failed.
        """
        options = [f"--exclude={pattern}" for pattern in exclude]
        if files_from:
            # Without --delete-excluded rclone would keep what is no longer on the list.
            options += [f"--files-from-raw={files_from}", "--delete-excluded"]
        if max_delete is not None:
            options.append(f"--max-delete={max_delete}")
        return self._transfer(
            ["sync", *options, source, destination], dry_run, fast_list, on_progress
        )

    def copy(
        self,
        source: str,
        destination: str,
        *,
        version_at: str = "",
        files_from: str = "",
        exclude: Sequence[str] = (),
        no_traverse: bool = False,
        no_check_dest: bool = False,
        retries: Optional[int] = None,
        dry_run: bool = False,
        fast_list: bool = True,
        on_progress: Optional[Callable[[TransferStats], None]] = None,
    ) -> RcloneResult:
        """Copy what differs and delete nothing.

        A *source* directory that is not there copies nothing and is no error: B2 has no
        directories. Count what came.

        *version_at* (RFC 3339) reads the bucket as it was then. *files_from* names a file
        written by :func:`.name_lists.write_file_list`: only those are looked at. Between two
        paths of the same crypt remote the copy is made by B2 and sends no bytes.

        *no_traverse* lists nothing and *no_check_dest* sends every file that is named; each of
        the *retries* (rclone's attempts in all) would then send everything once more.
        """
        options = [f"--exclude={pattern}" for pattern in exclude]
        if version_at:
            options.append(f"--b2-version-at={version_at}")
        if files_from:
            options.append(f"--files-from-raw={files_from}")
        if no_traverse:
            options.append("--no-traverse")
        if no_check_dest:
            options.append("--no-check-dest")
        return self._transfer(
            ["copy", *options, source, destination], dry_run, fast_list, on_progress, retries
        )

    def delete_listed(self, destination: str, files_from: str, max_delete: int) -> RcloneResult:
        """Hide below *destination* what *files_from* names (see :mod:`.name_lists`).

        B2 keeps their versions. What is not there is no error. Lists nothing: a class B and a
        free call a file. rclone ends with an error when it would hide more than *max_delete*.
        """
        options = ["--no-traverse", f"--max-delete={max_delete}", f"--files-from-raw={files_from}"]
        return self._run(["delete", *options, destination], f"hiding files below {destination}")

    def delete_all(self, destination: str) -> RcloneResult:
        """Hide every file below *destination*; nothing there is no error."""
        try:
            return self._run(
                ["delete", "--fast-list", destination], f"hiding {destination}", quiet=True
            )
        except RcloneError as error:
            if _directory_missing(error) and error.result is not None:
                return error.result
            raise

    def copyto(
        self, source: str, destination: str, *, version_at: str = "", no_check_dest: bool = False
    ) -> RcloneResult:
        """Copy one file to an exact name, always; :class:`RcloneNotFound` without a source.

        *no_check_dest* saves the question whether *destination* exists.
        """
        options = [f"--b2-version-at={version_at}"] if version_at else []
        if no_check_dest:
            options.append("--no-check-dest")
        command = ["copyto", "--ignore-times", *options, source, destination]
        return _something(self._run(command, f"copying {source}"), source)

    def rcat(self, data: bytes, destination: str) -> RcloneResult:
        """Write *data* (small: it is held in memory) as one object."""
        # quiet: rclone notes each time that crypt has no hash to compare.
        return self._run(["rcat", destination], f"writing {destination}", stdin=data, quiet=True)

    def cat(self, source: str, *, version_at: str = "") -> bytes:
        """The bytes of one small object; :class:`RcloneNotFound` when it is not there."""
        options = [f"--b2-version-at={version_at}"] if version_at else []
        result = _something(self._run(["cat", *options, source], f"reading {source}"), source)
        return result.stdout.encode("utf-8", "surrogateescape")

    def names(self, source: str, *, version_at: str = "") -> List[str]:
        """The names directly below *source*, directories with a '/' at the end, sorted.

        A directory that is not there is empty: B2 has no directories. For short listings.
        """
        options = [f"--b2-version-at={version_at}"] if version_at else []
        try:
            result = self._run(["lsf", "--csv", *options, source], f"listing {source}", quiet=True)
        except RcloneError as error:
            if _directory_missing(error):
                return []
            raise
        return sorted(row[0] for row in csv.reader(result.stdout.splitlines(keepends=True)))

    def encrypted_names(self, paths: Sequence[str]) -> Dict[str, str]:
        """What the crypt remote calls each of *paths* (ASCII) in the bucket; asks nobody."""
        told: Dict[str, str] = {}
        for start in range(0, len(paths), CRYPTDECODE_NAMES_MAX):
            names = paths[start : start + CRYPTDECODE_NAMES_MAX]
            result = self._run(
                ["cryptdecode", "--reverse", "--", self.crypt(), *names], "encrypting names"
            )
            # "NAME \t ENCRYPTED"
            for line in result.stdout.splitlines():
                name, _tab, encrypted = line.partition(" \t ")
                told[name] = encrypted
        return told

    def list_to(
        self, source: str, path: str, *, version_at: str = "", fast_list: bool = True
    ) -> RcloneResult:
        """List every object below *source* into *path*, for :func:`.name_lists.read_listing`.

        An empty or missing directory gives an empty file.
        """
        options = ["--csv", "--format=spt", "--recursive", "--files-only"]
        if version_at:
            options.append(f"--b2-version-at={version_at}")
        if fast_list:
            options.append("--fast-list")
        try:
            return self._run(
                ["lsf", *options, source],
                f"listing {source}",
                stdout_path=path,
                # Not a flag: the distribution's rclone 1.60 does not know it.
                env={"RCLONE_TIME_FORMAT": TIME_FORMAT, "TZ": "UTC"},
                quiet=True,
            )
        except RcloneError as error:
            if _directory_missing(error) and error.result is not None:
                return error.result
            raise

    def size(self, source: str, *, version_at: str = "", fast_list: bool = True) -> Size:
        """Count the objects below *source* and their plain bytes; nothing there is 0."""
        options = ["--json"]
        if version_at:
            options.append(f"--b2-version-at={version_at}")
        if fast_list:
            options.append("--fast-list")
        try:
            result = self._run(["size", *options, source], f"counting {source}", quiet=True)
        except RcloneError as error:
            if _directory_missing(error):
                return Size(0, 0)
            raise
        raw = json.loads(result.stdout)
        return Size(files=int(raw["count"]), bytes=int(raw["bytes"]))

    def check_names(self, timeout_seconds: Optional[float] = None) -> List[str]:
        """The top-level names of the crypt remote; :class:`RcloneUndecryptable` when one can't
        be decrypted (a wrong password; rclone alone would leave the name out and exit 0).

        The distribution's rclone 1.60 has no strict names and leaves them out all the same.
        """
        result = self._run(
            ["lsf", "--csv", self.crypt()],
            f"reading the names in {self.crypt()}",
            timeout_seconds=timeout_seconds,
            # rclone first asks whether the prefix itself is a file, which a key restricted to
            # PREFIX/ may not: it then authorizes anew for each of its low-level retries.
            low_level_retries=2,
            env={"RCLONE_CRYPT_STRICT_NAMES": "true"},
            empty_is_fine=True,
            quiet=True,
        )
        return sorted(row[0] for row in csv.reader(result.stdout.splitlines(keepends=True)))

    def _transfer(
        self,
        command: List[str],
        dry_run: bool,
        fast_list: bool,
        on_progress: Optional[Callable[[TransferStats], None]],
        retries: Optional[int] = None,
    ) -> RcloneResult:
        if dry_run:
            command.insert(1, "--dry-run")
        if fast_list:
            command.insert(1, "--fast-list")
        what = f"rclone {command[0]} of {command[-2]} to {command[-1]}"
        return self._run(command, what, on_progress=on_progress, retries=retries)

    def _run(
        self,
        command: Sequence[str],
        what: str,
        *,
        stdin: Optional[bytes] = None,
        stdout_path: str = "",
        on_progress: Optional[Callable[[TransferStats], None]] = None,
        timeout_seconds: Optional[float] = None,
        low_level_retries: Optional[int] = None,
        retries: Optional[int] = None,
        env: Optional[Mapping[str, str]] = None,
        empty_is_fine: bool = False,
        quiet: bool = False,
    ) -> RcloneResult:
        # quiet: what the caller may take for an answer ("not there") is no line in the log.
        stats_seconds = PROGRESS_SECONDS if on_progress is not None else STATS_SECONDS
        # What follows "--" are names, which may begin with "-".
        end = command.index("--") if "--" in command else len(command)
        argv = (
            self.config.binary,
            *command[:end],
            *common_flags(self.config, stats_seconds, low_level_retries, retries),
            *command[end:],
        )
        with StallWatch(
            self.config.stall_timeout_seconds,
            probe=self._check_key,
            probe_seconds=KEY_CHECK_SECONDS,
        ) as watch:

            def on_stats(stats: TransferStats) -> None:
                watch.counters(stats.progress())
                if on_progress is not None:
                    on_progress(stats)

            reader = LogReader(on_stats, None if quiet else self.on_message)

            def on_line(line: str) -> None:
                if line.startswith('{"pid":'):
                    watch.start(json.loads(line)["pid"])
                else:
                    reader.feed(line)

            try:
                ended = self.runner.run(
                    ["/bin/sh", "-c", _LAUNCH, "rclone", stdout_path, *argv],
                    stdin=stdin,
                    env={**environment(self.config), **(env or {})},
                    timeout_seconds=timeout_seconds,
                    on_stderr_line=on_line,
                    check=False,
                )
            except CommandError as error:
                raise RcloneError(f"{what} failed: {error.message}", error.hint) from error
        result = reader.result(argv, ended.exit_code, ended.stdout)
        if self.on_calls is not None:
            self.on_calls(estimate_calls(command, self.config, result.stats))
        if watch.refused is not None:
            raise RcloneUnauthorized(
                f"{what} was ended: {watch.refused.message}", watch.refused.hint, result
            )
        if watch.stalled:
            raise RcloneStalled(
                f"{what} made no progress for {self.config.stall_timeout_seconds} s and was ended"
                + (f"; the last error was: {reader.last_message}" if reader.last_message else ""),
                "Check that the key is still valid (lepotato_backup_b2_key) and the connection to "
                "B2; agent_rclone_stall_timeout_seconds sets how long it waits",
                result,
            )
        missing = empty_is_fine and result.exit_code == 3
        if result.exit_code != 0 and not missing:
            raise error_from(result, what)
        return result

    def _check_key(self) -> None:
        """Raise :class:`B2BadKey` when B2 no longer accepts the key."""
        try:
            config = self.config
            remote = read_remote(config.config, config.raw_remote, config.crypt_remote)
            remote.client(attempts=1).authorize()
        except B2BadKey:
            raise
        except BackupError:
            # B2 out of reach, or no B2 remote at all: the time for a stall decides.
            return


def _something(result: RcloneResult, source: str) -> RcloneResult:
    # rclone takes a file that is not there for an empty directory of that name and exits 0.
    if result.stats.transfers == 0:
        raise RcloneNotFound(f"{source} is not found", "", result)
    return result


def _directory_missing(error: RcloneError) -> bool:
    # A wrong password or key never exits with 3: "directory not found" is said by the listing.
    return error.result is not None and error.result.exit_code == 3
