# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command check-config: whether a configuration is right."""

from __future__ import annotations

import argparse

from ..base.errors import EXIT_OK
from ..config.schema import load_config
from .output import answer, say

NAME = "check-config"
HELP = "check a configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, when it is not the one that --config names."""
    parser.add_argument("file", nargs="?", help="the file (default: what --config names)")


def run(arguments: argparse.Namespace) -> int:
    """Check a configuration file and say that it is right."""
    path = arguments.file or arguments.config
    config = load_config(path)
    if arguments.json:
        answer({"path": path, "host": config.host, "valid": True})
    else:
        say(f"{path} is right: {len(config.sources)} trees of {config.host}")
    return EXIT_OK
