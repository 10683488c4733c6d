# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every restore is asked: from where, which point, which part, and whether to start."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Iterator, Tuple

from ..b2.errors import B2Denied
from ..base.errors import BackupError, ConfigError, LockHeld
from ..base.journal import Journal
from ..base.progress import ProgressBar, human_bytes
from ..bucket.upload import cancel_unfinished
from ..config.schema import Config, Second, Source, load_config, parse_config
from ..manifest.apply import ApplyProgress
from ..process.run_lock import RunLock
from ..process.runner import SubprocessRunner
from ..rclone.commands import Rclone
from ..rclone.conf import crypt_lies_over, read_remote
from ..restore.directory import Download, Watchers, download_version
from ..restore.selection import Selected, Wish
from ..second.read import download_from_second
from ..second.store import require_second, second_rclone
from .commands_night import prepared_state

# What --from takes beside b2.
SECOND = "second"

# The board's Ethernet (DESIGN, "For whom"): no restore to it is faster than this.
LINK_BYTES_PER_SECOND = 100e6 / 8
# rclone makes about 100 calls a second to B2 (DESIGN, "What we measured"), one a small file.
FILES_PER_SECOND = 100.0
# Another restore holds the lock only while it cancels unfinished uploads: a few calls to B2.
LOCK_WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Asked:
    """Where a restore reads from. *is_board*: with the configuration of the host itself, and not
    only with an rclone.conf on some other machine; *sources* are empty there. *is_second*: from
    the second destination, without a word to B2."""

    config: Config
    rclone: Rclone
    is_board: bool
    sources: Tuple[Source, ...]
    download: Download
    is_second: bool = False


def open_asked(arguments: argparse.Namespace) -> Asked:
    """The configuration, this host's or with ``--rclone-config`` any machine's, and what
    ``--from`` says."""
    conf = getattr(arguments, "rclone_config", None)
    is_second = getattr(arguments, "origin", None) == SECOND
    if conf:
        config = _config_elsewhere(os.path.abspath(conf), arguments.rclone, is_second)
    else:
        config = _config_here(arguments)
    sources = () if conf else config.sources
    if not is_second:
        rclone = Rclone(config.rclone, SubprocessRunner())
        return Asked(config, rclone, not conf, sources, download_version(rclone))
    second = second_rclone(config, SubprocessRunner())
    if not conf:
        require_second(config)
    return Asked(config, second, not conf, sources, download_from_second(second), True)


def _config_here(arguments: argparse.Namespace) -> Config:
    """The configuration of the host itself."""
    try:
        return load_config(arguments.config)
    except ConfigError as error:
        if hasattr(arguments, "rclone_config") and not os.access(arguments.config, os.R_OK):
            raise ConfigError(
                error.message,
                "On the board run it as root, or name the file with --config; on any other "
                'machine add --rclone-config FILE (docs/restore.md, "From any machine")',
            ) from error
        raise


def _config_elsewhere(conf: str, program: str, is_second: bool) -> Config:
    """What a restore needs to know on a machine that has only the rclone.conf at *conf*."""
    host = bucket = "restore"
    try:
        if is_second:
            # Nothing of B2 need be in the file, and its disk may be mounted anywhere.
            _require_local(crypt_lies_over(conf, Second.crypt_remote))
        else:
            remote = read_remote(conf, "b2-backup", "b2-encrypted")
            host, bucket = remote.prefix or host, remote.bucket
    except ConfigError as error:
        raise ConfigError(
            f"--rclone-config: {error.message}",
            "docs/restore.md shows the file that is needed, under "
            + ('"When B2 is gone"' if is_second else '"From any machine"'),
        ) from error
    return parse_config(
        {
            "host": host,
            "bucket": bucket,
            "host_prefix": host,
            "rclone": {"config": conf, "binary": _found_program(program)},
            "second": {"enabled": is_second},
            # The program restores here, and captures nothing.
            "sources": [{"tree": "none", "paths": ["/nonexistent"]}],
        },
        conf,
    )


def _require_local(below: str) -> None:
    """Raise :class:`ConfigError` when *below*, as rclone.conf has it, is a directory that is not
    there: rclone takes it for an empty one. A remote is left to rclone."""
    is_remote = ":" in below and not below.startswith(("/", "."))
    if not is_remote and not os.path.isdir(below):
        raise ConfigError(
            f"[{Second.crypt_remote}] lies over '{below}', and no such directory is "
            f"{'there' if os.path.isabs(below) else f'in {os.getcwd()}'}: mount the disk, or "
            "write where it is mounted, and the host prefix below it"
        )


def _found_program(typed: str) -> str:
    """The absolute path of the program that ``--rclone`` names, found as a shell finds it."""
    found = shutil.which(typed)
    if found is None:
        raise ConfigError(
            f"--rclone: there is no program {typed}{'' if '/' in typed else ' on PATH'}",
            "Install rclone (Debian: apt install rclone; otherwise https://rclone.org/downloads), "
            "or say where it is: --rclone PROGRAM",
        )
    return os.path.abspath(found)


def wanted_point(arguments: argparse.Namespace) -> str:
    """The point a person means by POINT and DATE."""
    if arguments.point == "weekly":
        return f"weekly {arguments.date or ''}".strip()
    if arguments.date is None:
        return str(arguments.point)
    if arguments.point != "daily":
        raise ConfigError(f"'{arguments.date}' is one argument too many", "Say daily DATE")
    return str(arguments.date)


def wish_of(arguments: argparse.Namespace) -> Wish:
    """The part a person means by ``--tree``, ``--volume`` and ``--path``."""
    return Wish(tuple(arguments.tree), tuple(arguments.volume), tuple(arguments.path))


def expected_seconds(selected: Selected) -> float:
    """How long a download takes at best: the link's rate, or the calls that small files cost."""
    return max(
        selected.download_bytes / LINK_BYTES_PER_SECOND,
        selected.download_files / FILES_PER_SECOND,
    )


def ask(arguments: argparse.Namespace, *lines: str) -> None:
    """Say what is about to happen and ask; returns when it may.

    Raises :class:`BackupError` for a no, :class:`ConfigError` when nobody is there to ask.
    """
    sys.stderr.write("\n  ".join(_shown(line) for line in lines) + "\n")
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is there to ask whether to start", "Add --yes for an unattended restore"
        )
    sys.stderr.write("Start? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BackupError("not started", "Nothing was changed")


@contextlib.contextmanager
def bars(selected: Selected) -> Iterator[Watchers]:
    """Progress for a person: the download, then the check of what came."""
    download = ProgressBar(sys.stderr, "restore", selected.download_bytes)
    check = ProgressBar(sys.stderr, "check")

    def checked(progress: ApplyProgress) -> None:
        check.draw(progress.verified_bytes, selected.bytes, human_bytes(progress.verified_bytes))

    try:
        yield Watchers(download.transfer, checked)
    finally:
        download.end()


def settle_unfinished(asked: Asked, journal: Journal, has_lock: bool = False) -> None:
    """Cancel unfinished large uploads: each hides the good version of its file.

    Only the host that uploads may do that, and only while no night is under way there; anywhere
    else they are named. The second destination has none.
    """
    if asked.is_second:
        return
    config = asked.config
    client = read_remote(
        config.rclone.config, config.rclone.raw_remote, config.rclone.crypt_remote
    ).client()
    if not asked.is_board:
        pending = list(client.list_unfinished_large_files(config.bucket, f"{config.host_prefix}/"))
        if pending:
            journal.warning(
                f"{len(pending)} uploads are unfinished; when files are missing below, run "
                "restore-from-b2.sh on the board, or a night there, and try again"
            )
        return
    try:
        with contextlib.ExitStack() as stack:
            if not has_lock:
                stack.enter_context(RunLock(prepared_state(config).lock, LOCK_WAIT_SECONDS))
            cancel_unfinished(config, client, journal)
    except LockHeld as error:
        journal.warning(f"unfinished uploads are left alone: {error.message}")
    except B2Denied as error:
        # A key for restores only (listFiles, readFiles) may list them but not cancel them.
        journal.warning(f"unfinished uploads can't be cancelled with this key: {error.message}")


def _shown(line: str) -> str:
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
