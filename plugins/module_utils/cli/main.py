# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``lepotato-backup``: what a person types, and what a machine may read.

Messages go to standard error, answers (and with ``--json`` nothing else) to standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, Optional, Sequence

from ..base.errors import EXIT_FAILED, BackupError, Interrupted
from ..config.schema import CONFIG_PATH
from ..process.guardian import called_as
from ..process.signals import signals_raise
from . import commands_night, commands_points, commands_restore, commands_stack
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
        "--config",
        type=_path,
        default=CONFIG_PATH,
        metavar="FILE",
        help="the configuration (%(default)s)",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = _add(commands, "run", commands_night.run, "do the night: capture, upload, seal")
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
        commands, "restore", commands_restore.restore, "list restore points, or restore one"
    )
    restore.add_argument(
        "point",
        nargs="?",
        help="daily, weekly, or a time such as 2026-11-22T02:00Z; nothing lists them",
    )
    restore.add_argument("date", nargs="?", help="with daily or weekly: the point of that date")
    _add_restore_options(restore)

    snapshots = _add(commands, "snapshots", commands_points.snapshots, "list the restore points")
    _add_origin(snapshots)
    prune = _add(commands, "prune", commands_points.prune, "remove restore points that are too old")
    prune.add_argument("--dry-run", action="store_true", help="remove nothing, tell what and why")
    verify = _add(
        commands,
        "verify",
        commands_restore.verify,
        "compare the newest restore point with the bucket",
    )
    _add_origin(verify)
    _add(commands, "status", commands_night.status, "tell how the last run ended")
    _add(
        commands,
        "containers",
        commands_night.containers,
        "tell what a night stops, and in which order",
    )
    _add(commands, "recover", commands_night.recover, "start what an interrupted run left stopped")
    _add(
        commands,
        "start",
        commands_stack.start,
        "bring up the compose projects, after a restore onto a blank board",
    )
    check = _add(commands, "check-config", commands_night.check_config, "check a configuration")
    check.add_argument("file", nargs="?", help="the file (default: what --config names)")
    return parser


def _path(text: str) -> str:
    """A path that a person typed. No shell opens the "~" of ``--option=~/file``."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; is a variable not set?")
    return os.path.expanduser(text)


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
    where.add_argument(
        "--target", type=os.path.expanduser, metavar="DIR", help="into an empty or new directory"
    )
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
        type=_path,
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
        type=_path,
        metavar="FILE",
        help="on any other machine: an rclone.conf is all that is needed",
    )
    restore.add_argument(
        "--rclone",
        type=_path,
        metavar="PROGRAM",
        default="rclone",
        help="with it: the rclone to run (%(default)s, looked up on PATH)",
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
