# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the capture as a program of its own and end it at a chosen step.

    capture_driver.py CONFIG [--recover] [--capture] [--dry-run]
                      [--at STEP NUMBER SIGNAL] [--eat-memory-at STEP]

``--at stop 2 9`` sends signal 9 to itself right before the second ``stop``, and may be given
several times. ``--eat-memory-at cold`` takes memory there until the kernel ends it. The steps that
were announced go to standard error; the answer is JSON on standard output. Exit codes are the
program's.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import signal
import sys
from typing import Any, Dict, List, Tuple

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.run import run_capture
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import load_config
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise
from ansible_collections.lepotato.backup.plugins.module_utils.restore.in_place import recover_all

MEMORY_EATEN_MAX_MIB = 512


class FaultJournal:
    """A journal on standard error that signals the process at some steps."""

    def __init__(self, faults: Dict[Tuple[str, int], int], hungry_at: str = "") -> None:
        self.faults = faults
        self.hungry_at = hungry_at
        self.counts: Dict[str, int] = collections.Counter()

    def info(self, message: str) -> None:
        self._say(f"info {message}")

    def warning(self, message: str) -> None:
        self._say(f"warning {message}")

    def step(self, name: str) -> None:
        self.counts[name] += 1
        self._say(f"step {name} {self.counts[name]}")
        number = self.faults.get((name, self.counts[name]))
        if number:
            os.kill(os.getpid(), number)
        if name == self.hungry_at:
            eat_memory()

    @staticmethod
    def _say(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def eat_memory() -> None:
    """Take memory until the kernel ends the process; where it does not, give up before it hurts."""
    taken: List[bytes] = []
    while len(taken) < MEMORY_EATEN_MAX_MIB:
        taken.append(b"x" * 1024**2)
    raise AssertionError(f"the kernel gave {len(taken)} MiB: is there no limit?")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--recover", action="store_true")
    parser.add_argument("--capture", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument(
        "--at", nargs=3, action="append", default=[], metavar=("STEP", "NUMBER", "SIGNAL")
    )
    parser.add_argument("--eat-memory-at", default="", metavar="STEP")
    arguments = parser.parse_args()
    faults = {(at[0], int(at[1])): int(at[2]) for at in arguments.at}
    journal = FaultJournal(faults, arguments.eat_memory_at)
    config = load_config(arguments.config)
    answer: Dict[str, Any] = {}
    failed: Dict[str, str] = {}
    try:
        with signals_raise():
            if arguments.recover:
                found = recover_all(config, journal)
                answer["recovered"] = {
                    "started": found.started,
                    "already_running": found.already_running,
                    "gone": found.gone,
                    "failed": found.failed,
                    "warnings": found.warnings,
                }
            if arguments.capture:
                result = run_capture(config, SubprocessRunner(), journal, dry_run=arguments.dry_run)
                answer["capture"] = dataclasses.asdict(result)
                # Named tuples that asdict leaves as tuples.
                answer["capture"]["trees"] = {
                    tree: stats._asdict() for tree, stats in result.trees.items()
                }
                failed = dict(result.failed_groups)
    except (BackupError, Interrupted) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(answer))
    return 1 if failed else 0


if __name__ == "__main__":
    # As the program does where nobody has asked for another disposition (nohup).
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    raise SystemExit(main())
