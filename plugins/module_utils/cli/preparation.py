# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command that changes something on the board prepares before it starts."""

from __future__ import annotations

import argparse
import os
from typing import List

from ..base.errors import BackupError
from ..base.state_files import StateFiles
from ..config.schema import Config


def prepared_state(config: Config) -> StateFiles:
    """The state files, in a directory that exists and is private."""
    try:
        os.makedirs(config.paths.state, mode=0o700, exist_ok=True)
    except OSError as error:
        raise BackupError(
            f"paths.state: {config.paths.state} can't be made: {error.strerror}",
            "Run as root",
        ) from error
    return StateFiles(config.paths.state)


def recover_command(arguments: argparse.Namespace) -> List[str]:
    """What starts the containers again if this process is killed: :mod:`..process.guardian`."""
    called_as: List[str] = arguments.called_as
    return [*called_as, "--config", arguments.config, "recover"] if called_as else []
