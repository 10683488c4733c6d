# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy sources into staging with rsync, full paths kept.

Never with ``--inplace``: the weekly snapshots are hard links to staged files, and a file that is
written in place changes in every snapshot. Times are compared to the nanosecond: rsync's
default compares whole seconds, and a database file of unchanged size that changed within the second
of the last pass would be taken for unchanged.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Dict, List, NamedTuple, Sequence, Tuple

from ..base.errors import BackupError, CommandError
from ..base.paths import nearest_existing
from ..base.progress import human_bytes
from ..process.runner import CommandResult, Runner

# rsync(1), EXIT VALUES.
VANISHED_EXIT_CODE = 24

# Best effort, lowest of eight levels: behind everything else, but not starved for ever as the
# idle class is on a disk that is never idle.
IONICE = ("ionice", "-c", "2", "-n", "7")

_STATS = {
    "files": re.compile(r"^Number of files: ([\d,]+)", re.MULTILINE),
    # rsync leaves a kind out where there is none: "Number of files: 1 (dir: 1)".
    "files_regular": re.compile(r"^Number of files: [\d,]+(?:.*\breg: ([\d,]+))?", re.MULTILINE),
    "directories": re.compile(r"^Number of files: [\d,]+(?:.*\bdir: ([\d,]+))?", re.MULTILINE),
    "files_created": re.compile(r"^Number of created files: ([\d,]+)", re.MULTILINE),
    "files_transferred": re.compile(
        r"^Number of regular files transferred: ([\d,]+)", re.MULTILINE
    ),
    "files_deleted": re.compile(r"^Number of deleted files: ([\d,]+)", re.MULTILINE),
    "bytes_total": re.compile(r"^Total file size: ([\d,]+)", re.MULTILINE),
    "bytes_transferred": re.compile(r"^Total transferred file size: ([\d,]+)", re.MULTILINE),
}

# Where the cold pass keeps its snapshots (see cold_snapshot).
COLD_SNAPSHOTS_NAME = ".lepotato-cold-snapshots"

# Ours and no data: snapshots, and what a restore in place leaves beside live data (restore_live).
_NOT_DATA = (
    COLD_SNAPSHOTS_NAME,
    ".lepotato-restore-*",
    ".lepotato-rejected-*",
    "*.lepotato-before-[0-9]*T[0-9]*Z*",
)

# A staged file that is replaced or removed, as "%i %n" tells it: its path below the destination.
_LOST = re.compile(r"^(?:>f[^+]{9}|\*deleting  ) /?(.*[^/\n])$", re.MULTILINE)
# A file that is copied, new or not.
_COPIED = re.compile(r"^>f\S{9} /?(.*)$", re.MULTILINE)
_ESCAPED_BYTE = re.compile(rb"\\#([0-7]{3})")
_NO_SPACE = "No space left on device"

# rsync's words for files that were removed or cut while it read them, and for what follows.
_VANISHED = re.compile(r'^file has vanished: "(.*)"', re.MULTILINE)
_CUT = re.compile(r'read errors mapping "(.*)": No data available')
_MOVED = re.compile(
    r"^(?:file has vanished: |rsync: .*read errors mapping .*: No data available"
    r"|(?:ERROR|WARNING): .* failed verification -- update "
    r"|rsync (?:error|warning): some files|IO error encountered -- skipping file deletion)"
)
PARTIAL_EXIT_CODE = 23

# A source that something outside the stopped containers writes to is copied so often.
COLD_TRIES = 3
NAMES_TOLD = 5

_GLOB_CHARACTERS = re.compile(r"([*?\[\\])")


class RsyncStats(NamedTuple):
    """One pass: entries of every kind looked at, regular files among them, files and bytes copied.

    *files_deleted* and *files_created* count entries of every kind; *bytes_total* is the size of
    all regular files, copied or not. *vanished*: files went away while they were copied.
    *vanished_names* are the first of them. *bytes_freed* is what replaced and removed files held
    that no hard link keeps, if asked for, and *block_bytes* what the copied files hold on the
    source's disk: sparse ones less than they say. *largest* are the first of those, with their
    names.
    """

    files: int = 0
    files_regular: int = 0
    files_transferred: int = 0
    files_deleted: int = 0
    bytes_total: int = 0
    bytes_transferred: int = 0
    vanished: bool = False
    directories: int = 0
    files_created: int = 0
    bytes_freed: int = 0
    vanished_names: Tuple[str, ...] = ()
    block_bytes: int = 0
    largest: Tuple[Tuple[int, str], ...] = ()

    def plus(self, other: RsyncStats) -> RsyncStats:
        """Both passes together."""
        return RsyncStats(
            self.files + other.files,
            self.files_regular + other.files_regular,
            self.files_transferred + other.files_transferred,
            self.files_deleted + other.files_deleted,
            self.bytes_total + other.bytes_total,
            self.bytes_transferred + other.bytes_transferred,
            self.vanished or other.vanished,
            self.directories + other.directories,
            self.files_created + other.files_created,
            self.bytes_freed + other.bytes_freed,
            (*self.vanished_names, *other.vanished_names)[:NAMES_TOLD],
            self.block_bytes + other.block_bytes,
            _largest((*self.largest, *other.largest)),
        )


def copy(
    runner: Runner,
    sources: Sequence[str],
    destination: str,
    *,
    excludes: Sequence[str] = (),
    niceness: int = 0,
    may_vanish: bool,
    dry_run: bool = False,
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
    count_freed: bool = False,
    count_blocks: bool = False,
) -> RsyncStats:
    """Make DESTINATION/full/path equal to each of *sources* (absolute paths).

    An exclude pattern that begins with ``/`` is matched against the full path. *niceness* above 0
    also lowers the disk priority. *prefix* is a command that runs rsync, given as its arguments.
    *count_freed* and *count_blocks*, for a dry run, ask for ``bytes_freed`` and ``block_bytes``. A
    file that was removed or cut while it
    was copied is left to the next pass where it *may_vanish*; elsewhere the copy is made again, and
    what vanished in the last one too is told in the result. Raises :class:`CommandError` when rsync
    fails, and when a file was cut in every try.
    """
    if count_freed or count_blocks:
        options = (*options, "--out-format=%i %n")
    argv = [
        *prefix,
        *command(
            sources,
            destination,
            excludes=excludes,
            niceness=niceness,
            options=(*options, "--dry-run") if dry_run else options,
        ),
    ]
    # Counts and messages are parsed and shown: without the locale's separators and words.
    for number in range(1, COLD_TRIES + 1):
        result = runner.run(argv, env={"LC_ALL": "C.UTF-8"}, check=False)
        moved = _only_moved(result)
        if not moved or may_vanish or number == COLD_TRIES:
            break
    vanished = moved and (may_vanish or result.exit_code == VANISHED_EXIT_CODE)
    if result.exit_code != 0 and not vanished:
        is_full = _NO_SPACE in result.stderr
        hint = _hint_of_full(destination) if is_full else _hint(result.exit_code)
        raise CommandError(argv, result.exit_code, result.stderr, hint)
    names = _VANISHED.findall(result.stderr) if vanished else []
    stats = parse_stats(result.stdout)._replace(
        vanished=vanished, vanished_names=tuple(names[:NAMES_TOLD])
    )
    if count_freed:
        stats = stats._replace(bytes_freed=_freed(result.stdout, destination))
    if count_blocks:
        files = _copied_blocks(result.stdout)
        stats = stats._replace(
            block_bytes=sum(size for size, _name in files), largest=_largest(files)
        )
    return stats


def _only_moved(result: CommandResult) -> bool:
    """Whether files that were removed or cut under rsync are all that it complains of."""
    if result.exit_code == VANISHED_EXIT_CODE:
        return True
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return (
        result.exit_code == PARTIAL_EXIT_CODE
        and any(_CUT.search(line) for line in lines)
        and all(_MOVED.match(line) for line in lines)
    )


def command(
    sources: Sequence[str],
    destination: str,
    *,
    excludes: Sequence[str] = (),
    niceness: int = 0,
    options: Sequence[str] = (),
) -> List[str]:
    """The rsync command line for :func:`copy`."""
    argv: List[str] = []
    if niceness:
        argv += ["nice", "-n", str(niceness), *IONICE]
    argv += [
        "rsync",
        "-aHAX",
        "--numeric-ids",
        "--sparse",
        "--delete",
        "--delete-excluded",
        "--relative",
        "--modify-window=-1",
        "--stats",
        "--no-human-readable",
        *options,
    ]
    argv += [f"--exclude={pattern}" for pattern in (*excludes, *_NOT_DATA)]
    return [*argv, "--", *(_followed(path) for path in sources), destination.rstrip("/") + "/"]


def parse_stats(text: str) -> RsyncStats:
    """Read the numbers of ``rsync --stats``; raises :class:`BackupError` when one is missing."""
    numbers: Dict[str, int] = {}
    for name, pattern in _STATS.items():
        match = pattern.search(text)
        if match is None:
            raise BackupError(
                f"rsync's statistics lack {name!r}: {text[-500:]!r}",
                "Is rsync older than 3.1?",
            )
        numbers[name] = int((match.group(1) or "0").replace(",", ""))
    return RsyncStats(
        files=numbers["files"],
        files_regular=numbers["files_regular"],
        files_transferred=numbers["files_transferred"],
        files_deleted=numbers["files_deleted"],
        bytes_total=numbers["bytes_total"],
        bytes_transferred=numbers["bytes_transferred"],
        directories=numbers["directories"],
        files_created=numbers["files_created"],
    )


def literal_pattern(path: str) -> str:
    """An exclude pattern that matches exactly this absolute path."""
    return _GLOB_CHARACTERS.sub(r"\\\1", path)


def _followed(path: str) -> str:
    # A source that is itself a link means what it points to: the slash makes rsync follow it.
    return path + "/" if os.path.islink(path) and os.path.isdir(path) else path


def _unescaped(name: str) -> bytes:
    return _ESCAPED_BYTE.sub(lambda escaped: bytes([int(escaped.group(1), 8)]), os.fsencode(name))


def _copied_blocks(text: str) -> List[Tuple[int, str]]:
    """What each file that would be copied holds on its disk, and its name."""
    found = []
    for match in _COPIED.finditer(text):
        path = b"/" + _unescaped(match.group(1))
        try:
            found.append((os.lstat(path).st_blocks * 512, os.fsdecode(path)))
        except FileNotFoundError:
            # It went away since rsync looked: nothing to copy.
            continue
    return found


def _largest(files: Sequence[Tuple[int, str]]) -> Tuple[Tuple[int, str], ...]:
    return tuple(sorted(files, reverse=True)[:NAMES_TOLD])


def _freed(text: str, destination: str) -> int:
    freed_bytes = 0
    for match in _LOST.finditer(text):
        name = _unescaped(match.group(1))
        status = os.lstat(os.path.join(os.fsencode(destination), name))
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            freed_bytes += status.st_blocks * 512
    return freed_bytes


def _hint_of_full(directory: str) -> str:
    status = os.statvfs(nearest_existing(directory))
    free = f"{human_bytes(status.f_bavail * status.f_frsize)} and {status.f_favail} inodes"
    return (
        f"The file system that holds {directory} ran full ({free} are free now): make room on the "
        "SSD; the next night goes on where this one stopped"
    )


def _hint(exit_code: int) -> str:
    if exit_code == PARTIAL_EXIT_CODE:
        return "Where a file was cut: something outside the stopped containers writes it"
    if exit_code == 11:
        return "Is the SSD full, or has it errors (dmesg)?"
    return ""
