# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command status: how the last run ended, and what the backup costs."""

from __future__ import annotations

import argparse

from ..base.progress import human_bytes, human_seconds
from ..base.state_files import StateFiles
from ..config.schema import load_config
from ..cost.ledger import read_cost
from ..night.cost_books import cost_lines, cost_told
from ..night.run_record import read_last_record
from .output import answer, say

NAME = "status"
HELP = "tell how the last run ended"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Tell how the last run ended; the exit code is that of the run."""
    config = load_config(arguments.config)
    record = read_last_record(config.paths.state)
    # With today's prices; the calls are those of the run.
    cost = cost_told(config.cost, read_cost(StateFiles(config.paths.state).cost))
    record["cost"] = {**cost, "calls": record.get("cost", {}).get("calls")}
    if arguments.json:
        answer(record)
        return int(record["exit_code"])
    say(f"{record['outcome']}: run {record['id']} of {record['host']}")
    say(f"  ended {record['ended_at']} after {human_seconds(record['duration_seconds'])}")
    if record["error"]:
        where = f" in {record['step']}" if record["step"] else ""
        say(f"  error{where}: {record['error']}")
    for warning in record["warnings"]:
        say(f"  warning: {warning}")
    upload = record.get("upload")
    if upload:
        say(f"  sent {upload['files']} files, {human_bytes(upload['bytes'])}")
    for group in record.get("capture", {}).get("groups", ()):
        for name, seconds in group["down_seconds"].items():
            say(f"  {name} was down {seconds:.1f} s")
    for line in cost_lines(record["cost"]):
        say(f"  {line}")
    return int(record["exit_code"])
