# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command restore: its options, and which of its ways they choose."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from typing import Iterator

from ..base.errors import ConfigError
from ..points.model import Seal
from ..restore.directory import WORK_DIRECTORY, fetch_manifest, find_point
from ..restore.selection import Chooser, measure
from . import snapshots
from .origin import Asked, add_origin, open_asked
from .replaced import forget, list_replaced
from .restore_check import compare
from .restore_in_place import in_place
from .restore_options import wanted_point, wish_of
from .restore_to_directory import finish_downloaded, into_target

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
    add_origin(parser)
    part = parser.add_argument_group("which part (the whole point without; each may be repeated)")
    part.add_argument("--tree", action="append", default=[], help="a tree: docker-volumes")
    part.add_argument("--volume", action="append", default=[], help="a Docker volume by its name")
    part.add_argument(
        "--path", action="append", default=[], help="a path of the host, or a glob of such paths"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before it starts")
    parser.add_argument(
        "--replaced", action="store_true", help="list what restores in place moved aside"
    )
    parser.add_argument(
        "--forget-replaced", metavar="ID", help="delete for good what one of them (or all) did"
    )
    parser.add_argument(
        "--rclone-config",
        metavar="FILE",
        help="on any other machine: an rclone.conf is all that is needed",
    )
    parser.add_argument(
        "--rclone", metavar="PROGRAM", default="rclone", help="with it: the rclone to run"
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
    seal = find_point(asked.rclone, wanted_point(arguments))
    with _manifest_of(asked, seal, arguments.target) as manifest:
        chooser = Chooser(wish_of(arguments), asked.sources)
        selected = measure(manifest, chooser)
        if arguments.check:
            return compare(arguments, asked, seal, manifest, chooser)
        if arguments.in_place:
            return in_place(arguments, asked, seal, manifest, chooser, selected)
        return into_target(arguments, asked, seal, manifest, chooser, selected)


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


@contextlib.contextmanager
def _manifest_of(asked: Asked, seal: Seal, target: str) -> Iterator[str]:
    """The point's manifest: from an interrupted restore, or downloaded for the time being."""
    kept = os.path.join(target or "", WORK_DIRECTORY, "manifest.jsonl.gz")
    if target and os.path.exists(kept):
        fetch_manifest(asked.rclone, seal, kept)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        path = os.path.join(directory, "manifest.jsonl.gz")
        fetch_manifest(asked.rclone, seal, path)
        yield path
