# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the swap of a restore in place as a program of its own and end it at a chosen step.

    restore_driver.py CONFIG [--recover] [--swap STAGE LIVE...] [--at STEP NUMBER SIGNAL]

STAGE holds the new content of each LIVE path at ``STAGE/docker-volumes/LIVE``. The rest is as in
capture_driver.py.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import Any, Dict, List

from integration.capture_driver import FaultJournal

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import load_config
from ansible_collections.lepotato.backup.plugins.module_utils.docker.engine import DockerClient
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import describe_path
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise
from ansible_collections.lepotato.backup.plugins.module_utils.restore.in_place import (
    plan_groups,
    recover_all,
    swap_in_place,
)
from ansible_collections.lepotato.backup.plugins.module_utils.restore.live_paths import (
    Stage,
    Unit,
    live_paths,
    make_moves,
)


def stage_of(directory: str, live: List[str]) -> Stage:
    """The units as plan_stages would make them for content that was downloaded."""
    units = []
    for path in live:
        entry = describe_path(directory + "/docker-volumes" + path)
        assert entry is not None
        whole = os.fsencode("docker-volumes" + path)
        units.append(Unit(entry._replace(path=whole), whole, path))
    return Stage(directory, tuple(units), 0)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--recover", action="store_true")
    parser.add_argument("--swap", nargs="+", default=[])
    parser.add_argument(
        "--at", nargs=3, action="append", default=[], metavar=("STEP", "NUMBER", "SIGNAL")
    )
    arguments = parser.parse_args()
    journal = FaultJournal({(at[0], int(at[1])): int(at[2]) for at in arguments.at})
    config = load_config(arguments.config)
    answer: Dict[str, Any] = {}
    try:
        with signals_raise():
            if arguments.recover:
                answer["warnings"] = recover_all(config, journal).warnings
            if arguments.swap:
                docker = DockerClient(config.containers.socket)
                stage = stage_of(arguments.swap[0], arguments.swap[1:])
                result = swap_in_place(
                    config,
                    docker,
                    journal,
                    identifier="20261122T020000Z",
                    point="20261121T020000Z",
                    moves=make_moves([stage], "20261122T020000Z"),
                    roots=[],
                    stages=[stage.directory],
                    groups=plan_groups(config, docker, live_paths([stage])),
                )
                answer.update(is_new=result.is_new, problems=result.problems, aside=result.aside)
    except (BackupError, Interrupted) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    raise SystemExit(main())
