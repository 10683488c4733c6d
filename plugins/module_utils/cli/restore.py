# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command restore: its options, and which of its ways they choose."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile

from ..base.errors import EXIT_OK, EXIT_WARNINGS, ConfigError
from ..process.logs import RunLog, stream_handler
from ..restore.directory import WORK_DIRECTORY
from ..restore.open_point import open_point
from ..restore.selection import Chooser, measure
from . import snapshots
from .origin import add_origin, open_asked
from .replaced import forget, list_replaced
from .restore_check import compare
from .restore_in_place import in_place
from .restore_options import wanted_point, wish_of
from .restore_to_directory import finish_downloaded, into_target
from .typed_path import typed_path

NAME = "restore"
HELP = "list restore points, or restore one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which point, where to and where from, which part of it."""
    parser.add_argument(
        "point",
        nargs="?",
        help="daily, weekly, or a time such as 2026-11-22T02:00Z; nothing lists them",
    )
    parser.add_argument("date", nargs="?", help="with daily or weekly: the point of that date")
    where = parser.add_argument_group("where to (one of them)")
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
        type=typed_path,
        metavar="DIR",
        help="finish what 'rclone copy b2-encrypted: DIR' brought, in DIR/daily",
    )
    where.add_argument(
        "--blank", action="store_true", help="with --in-place: refuse to replace any live data"
    )
    add_origin(parser)
    part = parser.add_argument_group("which part (the whole point without; each may be repeated)")
    part.add_argument("--tree", action="append", default=[], help="a tree: docker-volumes")
    part.add_argument("--volume", action="append", default=[], help="a Docker volume by its name")
    part.add_argument(
        "--path", action="append", default=[], help="a path of the host, or a glob of such paths"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before it starts")
    parser.add_argument(
        "--accept-damaged",
        action="store_true",
        help="restore the rest where files are damaged beyond a second download (3: some are)",
    )
    parser.add_argument(
        "--replaced", action="store_true", help="list what restores in place moved aside"
    )
    parser.add_argument(
        "--forget-replaced", metavar="ID", help="delete for good what one of them (or all) did"
    )
    parser.add_argument(
        "--rclone-config",
        type=typed_path,
        metavar="FILE",
        help="on any other machine: an rclone.conf is all that is needed",
    )
    parser.add_argument(
        "--rclone",
        type=typed_path,
        metavar="PROGRAM",
        default="rclone",
        help="with it: the rclone to run (%(default)s, looked up on PATH)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Restore one point, or a part of it; without a point, list them."""
    if arguments.from_downloaded:
        return finish_downloaded(arguments)
    if arguments.replaced:
        return list_replaced(arguments)
    if arguments.forget_replaced is not None:
        return forget(arguments)
    if arguments.point is None:
        return snapshots.run(arguments)
    _check_where(arguments)
    asked = open_asked(arguments)
    log = RunLog("restore", [stream_handler(sys.stderr, logging.INFO)])
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        manifest = os.path.join(directory, "manifest.jsonl.gz")
        kept = os.path.join(arguments.target or "", WORK_DIRECTORY, "manifest.jsonl.gz")
        wanted = wanted_point(arguments)
        seal = open_point(asked.rclone, wanted, manifest, log, kept_manifest=kept)
        chooser = Chooser(wish_of(arguments), asked.sources)
        selected = measure(manifest, chooser)
        if arguments.check:
            code = compare(arguments, asked, seal, manifest, chooser)
        elif arguments.in_place:
            code = in_place(arguments, asked, seal, manifest, chooser, selected)
        else:
            code = into_target(arguments, asked, seal, manifest, chooser, selected)
    # Another night than was meant is worth a look, however well it went.
    return code or (EXIT_WARNINGS if log.warnings else EXIT_OK)


def _check_where(arguments: argparse.Namespace) -> None:
    if arguments.target == "":
        raise ConfigError("the target has no name", "Say --target DIR; is a variable empty?")
    chosen = [arguments.target is not None, arguments.in_place, arguments.check]
    if sum(chosen) != 1:
        raise ConfigError(
            "restore needs to know where to",
            "Say --target DIR (an empty or new directory), --in-place (replaces live data and "
            "keeps it aside) or --check (compares and changes nothing)",
        )
