# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore --replaced and --forget-replaced: what restores in place moved aside."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import List

from ..base.errors import EXIT_OK, BackupError
from ..base.progress import human_bytes
from ..config.schema import Config, load_config
from ..process.run_lock import RunLock
from ..restore.replaced import REPLACED, Replaced, ReplacedList, size_bytes
from .confirmation import ask
from .output import answer, say
from .preparation import prepared_state


def list_replaced(arguments: argparse.Namespace) -> int:
    """Tell what restores in place moved aside, and how large it is."""
    config = load_config(arguments.config)
    records = ReplacedList(config.paths.state).records()
    if arguments.json:
        answer([{**asdict(item), "bytes": size_bytes(item.paths)} for item in records])
        return EXIT_OK
    if not records:
        say("no restore moved anything aside")
    say_replaced(config)
    return EXIT_OK


def say_replaced(config: Config) -> None:
    """One line for each restore that left something aside."""
    for record in ReplacedList(config.paths.state).records():
        for line in _told(record):
            say(line)
        say(f"    delete it with: lepotato-backup restore --forget-replaced {record.id}")


def forget(arguments: argparse.Namespace) -> int:
    """Delete for good what one restore in place (or ``all``) moved aside."""
    config = load_config(arguments.config)
    with RunLock(prepared_state(config).lock):
        records = ReplacedList(config.paths.state)
        chosen = [
            item for item in records.records() if arguments.forget_replaced in (item.id, "all")
        ]
        if not chosen:
            raise BackupError(
                f"no restore {arguments.forget_replaced} moved anything aside",
                "lepotato-backup restore --replaced lists them",
            )
        total_bytes = sum(size_bytes(item.paths) for item in chosen)
        lines = [line for item in chosen for line in _told(item)]
        ask(arguments, "delete for good:", *lines)
        records.forget([item.id for item in chosen])
    if arguments.json:
        answer({"forgotten": [item.id for item in chosen], "bytes": total_bytes})
    else:
        say(f"deleted {human_bytes(total_bytes)}")
    return EXIT_OK


def _told(record: Replaced) -> List[str]:
    what = "was live before" if record.kind == REPLACED else "came from, and was not good,"
    size = human_bytes(size_bytes(record.paths))
    lines = [f"{record.id}: {size} {what} the restore of {record.point}"]
    lines += [f"    {path}{'' if os.path.lexists(path) else ' (gone)'}" for path in record.paths]
    return lines
