# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the commands read restore points from: the bucket or the second destination."""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import dataclass
from typing import Tuple

from ..base.errors import ConfigError
from ..config.schema import Config, Second, Source, load_config, parse_config
from ..process.runner import SubprocessRunner
from ..rclone.commands import Rclone
from ..rclone.conf import crypt_lies_over, read_remote
from ..restore.directory import Download, download_version
from ..second.read import download_from_second
from ..second.store import require_second, second_rclone
from .places import BUCKET, SECOND


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


def add_origin(parser: argparse.ArgumentParser) -> None:
    """The option ``--from``."""
    parser.add_argument(
        "--from",
        dest="origin",
        choices=(BUCKET, SECOND),
        default=BUCKET,
        help="the bucket, or the second destination, which asks B2 nothing (%(default)s)",
    )


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


def board_config(asked: Asked) -> Config:
    """The configuration of the host itself; elsewhere a :class:`ConfigError`."""
    if not asked.is_board:
        raise ConfigError(
            "only the host itself knows where its live data is",
            "Leave out --rclone-config and run it there, or restore into a directory (--target)",
        )
    return asked.config


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
