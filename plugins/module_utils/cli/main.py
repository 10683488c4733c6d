# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``lepotato-backup``: what a person types, and what a machine may read.

Messages go to standard error, answers (and with ``--json`` nothing else) to standard output.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Optional, Sequence

from ..base.errors import EXIT_FAILED, BackupError, Interrupted
from ..config.schema import CONFIG_PATH
from ..process.guardian import called_as
from ..process.signals import signals_raise
from . import (
    check_config,
    containers,
    prune,
    recover,
    restore,
    run,
    snapshots,
    start,
    status,
    verify,
)
from .command import Command
from .typed_path import typed_path

# A command is a module of this package and a line here, in the order in which --help names them.
COMMANDS: Sequence[Command] = (
    run,
    restore,
    snapshots,
    prune,
    verify,
    status,
    containers,
    recover,
    start,
    check_config,
)


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
        type=typed_path,
        default=CONFIG_PATH,
        metavar="FILE",
        help="the configuration (%(default)s)",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        _add(commands, command)
    return parser


def _add(commands: Any, command: Command) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        command.NAME, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}."
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON on standard output")
    command.add_arguments(parser)
    parser.set_defaults(function=command.run)
