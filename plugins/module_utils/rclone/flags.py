# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags and environment of every rclone: measured memory, names as bytes, bounded waits."""

from __future__ import annotations

import os
from typing import Dict, List, Optional

from ..config.schema import Rclone as RcloneConfig

# rclone translates names between the local disk and its own form, and with the default
# encoding loses those that hold U+201B ("lstat ...: no such file"), so that every sync fails.
# Naming rclone's own form for the local side makes both sides the same: names pass as bytes.
LOCAL_ENCODING = "Slash,Ctl,Del,Dot"

RETRIES = 3
RETRIES_SLEEP = "5s"
LOW_LEVEL_RETRIES = 10
CONNECT_TIMEOUT = "60s"
IO_TIMEOUT = "5m"


def common_flags(
    config: RcloneConfig,
    stats_seconds: int,
    low_level_retries: Optional[int] = None,
    retries: Optional[int] = None,
) -> List[str]:
    """What every command gets; *stats_seconds* is how often rclone tells its counters."""
    flags = [
        f"--config={config.config}",
        "--ask-password=false",
        "--use-json-log",
        f"--stats={stats_seconds}s",
        "--stats-log-level=NOTICE",
        f"--transfers={config.transfers}",
        f"--checkers={config.checkers}",
        "--buffer-size=0",
        f"--b2-chunk-size={config.chunk_size}",
        f"--retries={retries or RETRIES}",
        f"--retries-sleep={RETRIES_SLEEP}",
        f"--low-level-retries={low_level_retries or LOW_LEVEL_RETRIES}",
        f"--contimeout={CONNECT_TIMEOUT}",
        f"--timeout={IO_TIMEOUT}",
        "--skip-links",
        f"--local-encoding={LOCAL_ENCODING}",
        # Two names that differ only in Unicode's normal form are two files on Linux.
        "--no-unicode-normalization",
    ]
    if config.bandwidth_limit:
        flags.append(f"--bwlimit={config.bandwidth_limit}")
    return flags


def environment(config: RcloneConfig) -> Dict[str, str]:
    """What is added to the environment. No secrets: rclone reads them from its own file."""
    home = os.path.expanduser("~")
    return {
        # https://tip.golang.org/doc/gc-guide: collect when the heap grew by 20 %, not by 100 %.
        "GOGC": "20",
        # Not a flag: the distribution's rclone 1.60 does not know it and would refuse to start.
        "RCLONE_B2_UPLOAD_CONCURRENCY": str(config.upload_concurrency),
        # cron starts programs without HOME, and rclone warns about it.
        "HOME": home if os.path.isabs(home) else "/",
    }
