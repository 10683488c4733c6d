# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A night to run stages with, and what it tells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import parse_config
from ansible_collections.lepotato.backup.plugins.module_utils.night.context import (
    Night,
    NightOptions,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.run_record import RunRecord
from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import RunLog
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner

# Sunday the 22nd of November 2026, noon in UTC.
STARTED = 1795348800.0

CONF = """\
[b2-backup]
type = b2
account = 000
key = K000
[b2-encrypted]
type = crypt
remote = b2-backup:bucket/potato
password = x
password2 = y
"""


class Lines(logging.Handler):
    """Everything that a night tells, its steps included, in order."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


def a_night(
    directory: Path, lines: Lines, *, dry_run: bool = False, **config: dict[str, Any]
) -> Night:
    """A night of a host whose state is in *directory*; it has asked nobody for anything yet."""
    conf = directory / "rclone.conf"
    conf.write_text(CONF)
    conf.chmod(0o600)
    parsed = parse_config(
        {
            "host": "potato",
            "bucket": "bucket",
            "host_prefix": "potato",
            "sources": [{"tree": "a", "paths": ["/a"]}],
            "paths": {"state": str(directory), "staging": str(directory / "staging")},
            "rclone": {"config": str(conf)},
            **config,
        }
    )
    log = RunLog("ID", [lines])
    options = NightOptions(dry_run=dry_run)
    return Night(parsed, SubprocessRunner(), log, options, RunRecord("potato", STARTED))
