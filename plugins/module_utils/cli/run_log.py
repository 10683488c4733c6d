# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where run and recover tell what they do."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import List

from ..base.errors import BackupError
from ..config.schema import Config
from ..filesystem.mounts import read_mounts
from ..process.logs import file_handler, stream_handler, syslog_handler
from ..staging.area import require_ssd


def log_handlers(config: Config, arguments: argparse.Namespace) -> List[logging.Handler]:
    """Where a run tells: the log on the SSD, the terminal; without the SSD syslog and stderr."""
    is_person = sys.stderr.isatty() or getattr(arguments, "dry_run", False)
    handlers = [stream_handler(sys.stderr, logging.INFO if is_person else logging.WARNING)]
    try:
        # An SSD that is not mounted would leave the log on the SD card, below the mount point.
        require_ssd(config.paths.ssd, read_mounts())
        if not getattr(arguments, "dry_run", False):
            os.makedirs(os.path.dirname(config.paths.log), mode=0o755, exist_ok=True)
            handlers.append(file_handler(config.paths.log))
    except (BackupError, OSError) as error:
        handlers[0].setLevel(logging.INFO)
        syslog = syslog_handler()
        if syslog is not None:
            handlers.append(syslog)
        sys.stderr.write(f"the log {config.paths.log} can't be written: {error}\n")
    return handlers
