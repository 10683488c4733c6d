# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command is: a module of this package with these names, in the list of main."""

from __future__ import annotations

import argparse
from typing import Protocol


class Command(Protocol):
    """*HELP* is a phrase without a capital and a full stop; ``--json`` is added to each."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the command takes beside ``--json``."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, answer on standard output, and return the exit code."""
