# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``lepotato-backup``: what a person types, and what a machine may read.

Messages go to standard error, answers (and with ``--json`` nothing else) to standard output.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Callable, Optional, Sequence

from ..base.errors import EXIT_FAILED, BackupError, Interrupted
from ..config.schema import CONFIG_PATH
from ..process.guardian import called_as
from ..process.signals import signals_raise
from . import restore as restore_module
from . import run as run_module
from . import snapshots as snapshots_module
from . import start as start_module
from .restore_options import SECOND


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code (see :mod:`..base.errors`)."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words)
    arguments.called_as = called_as(words)
    try:
        with signals_raise():
            code: int = arguments.function(arguments)
            return code
    except (BackupError, Interrupted) as error:
        sys.stderr.write(f"lepotato-backup: {error}\n")
        return error.exit_code
    except OSError as error:
        # A full disk, a missing permission: what the system says names the file.
        sys.stderr.write(f"lepotato-backup: {error}\n")
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lepotato-backup",
        description="Back up a Potato to Backblaze B2, and bring it back.",
        epilog="Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done with warnings; "
        "75 another run holds the lock.",
    )
    parser.add_argument(
        "--config", default=CONFIG_PATH, metavar="FILE", help="the configuration (%(default)s)"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = _add(commands, "run", run_module.run, "do the night: capture, upload, seal")
    run.add_argument("--dry-run", action="store_true", help="touch nothing, say what would be done")
    run.add_argument(
        "--accept-shrink",
        action="store_true",
        help="this once, accept that a source lost most of its files",
    )
    run.add_argument(
        "--accept-disks",
        action="store_true",
        help="this once, accept that the SSD or a source lies on another disk than was recorded",
    )

    restore = _add(
        commands, "restore", restore_module.restore, "list restore points, or restore one"
    )
    restore.add_argument(
        "point",
        nargs="?",
        help="daily, weekly, or a time such as 2026-11-22T02:00Z; nothing lists them",
    )
    restore.add_argument("date", nargs="?", help="with daily or weekly: the point of that date")
    _add_restore_options(restore)

    snapshots = _add(commands, "snapshots", snapshots_module.snapshots, "list the restore points")
    _add_origin(snapshots)
    prune = _add(
        commands, "prune", snapshots_module.prune, "remove restore points that are too old"
    )
    prune.add_argument("--dry-run", action="store_true", help="remove nothing, tell what and why")
    verify = _add(
        commands,
        "verify",
        restore_module.verify,
        "compare the newest restore point with the bucket",
    )
    _add_origin(verify)
    _add(commands, "status", run_module.status, "tell how the last run ended")
    _add(
        commands,
        "containers",
        run_module.containers,
        "tell what a night stops, and in which order",
    )
    _add(commands, "recover", run_module.recover, "start what an interrupted run left stopped")
    _add(
        commands,
        "start",
        start_module.start,
        "bring up the compose projects, after a restore onto a blank board",
    )
    check = _add(commands, "check-config", run_module.check_config, "check a configuration")
    check.add_argument("file", nargs="?", help="the file (default: what --config names)")
    return parser


def _add_origin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("b2", SECOND),
        default="b2",
        help="the bucket, or the second destination, which asks B2 nothing (%(default)s)",
    )


def _add_restore_options(restore: argparse.ArgumentParser) -> None:
    where = restore.add_argument_group("where to (one of them)")
    where.add_argument("--target", metavar="DIR", help="into an empty or new directory")
    where.add_argument(
        "--in-place",
        action="store_true",
        help="in place of the live data, which is kept aside; services are down for the swap only",
    )
    where.add_argument(
        "--check", action="store_true", help="nowhere: compare with the live data (3: it differs)"
    )
    where.add_argument(
        "--from-downloaded",
        metavar="DIR",
        help="finish what 'rclone copy b2-encrypted: DIR' brought, in DIR/daily",
    )
    where.add_argument(
        "--blank", action="store_true", help="with --in-place: refuse to replace any live data"
    )
    _add_origin(restore)
    part = restore.add_argument_group("which part (the whole point without; each may be repeated)")
    part.add_argument("--tree", action="append", default=[], help="a tree: docker-volumes")
    part.add_argument("--volume", action="append", default=[], help="a Docker volume by its name")
    part.add_argument(
        "--path", action="append", default=[], help="a path of the host, or a glob of such paths"
    )
    restore.add_argument("--yes", action="store_true", help="do not ask before it starts")
    restore.add_argument(
        "--replaced", action="store_true", help="list what restores in place moved aside"
    )
    restore.add_argument(
        "--forget-replaced", metavar="ID", help="delete for good what one of them (or all) did"
    )
    restore.add_argument(
        "--rclone-config",
        metavar="FILE",
        help="on any other machine: an rclone.conf is all that is needed",
    )
    restore.add_argument(
        "--rclone", metavar="PROGRAM", default="rclone", help="with it: the rclone to run"
    )


def _add(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int],
    description: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON on standard output")
    parser.set_defaults(function=function)
    return parser
