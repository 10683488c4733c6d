# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the commands read restore points from: the bucket or the second destination."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Tuple

from ..base.errors import ConfigError
from ..config.schema import Config, Second, Source, load_config, parse_config
from ..process.runner import SubprocessRunner
from ..rclone.commands import Rclone
from ..rclone.conf import read_remote, require_section
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
        config = _config_elsewhere(conf, arguments.rclone, is_second)
    else:
        config = load_config(arguments.config)
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


def _config_elsewhere(conf: str, binary: str, is_second: bool) -> Config:
    """What a restore needs to know on a machine that has only an rclone.conf."""
    host = bucket = "restore"
    if is_second:
        # Nothing of B2 need be in the file, and its disk may be mounted anywhere.
        require_section(conf, Second.crypt_remote)
    else:
        remote = read_remote(conf, "b2-backup", "b2-encrypted")
        host, bucket = remote.prefix or host, remote.bucket
    return parse_config(
        {
            "host": host,
            "bucket": bucket,
            "host_prefix": host,
            "rclone": {"config": conf, "binary": binary},
            "second": {"enabled": is_second},
            # The program restores here, and captures nothing.
            "sources": [{"tree": "none", "paths": ["/nonexistent"]}],
        },
        conf,
    )
