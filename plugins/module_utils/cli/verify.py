# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command verify: is the newest restore point there as it was sealed?"""

from __future__ import annotations

import argparse
import dataclasses
import time

from ..base.errors import EXIT_OK
from ..base.progress import human_bytes
from ..points.true_clock import require_true_clock
from ..points.verified import prove_and_note
from ..rclone.conf import read_remote
from ..second.read import prove_second
from .origin import add_origin, open_asked
from .output import answer, say
from .preparation import prepared_state

NAME = "verify"
HELP = "compare the newest restore point with the bucket"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which place it asks."""
    add_origin(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare the newest restore point with what the bucket, or the second destination, holds."""
    asked = open_asked(arguments)
    state = prepared_state(asked.config)
    if asked.is_second:
        where = "on the second destination"
        proof = prove_second(asked.rclone, state.directory)
    else:
        where = "in the bucket"
        # What is found is noted with its time.
        settings = asked.config.rclone
        remote = read_remote(settings.config, settings.raw_remote, settings.crypt_remote)
        skew_seconds = remote.client().authorize().clock_skew_seconds
        require_true_clock(skew_seconds, "", time.time())
        proof = prove_and_note(asked.rclone, asked.config, time.time())
    if arguments.json:
        answer(dataclasses.asdict(proof))
    else:
        say(
            f"{proof.point} is {where} as it was sealed: {proof.found.files} files, "
            f"{human_bytes(proof.found.bytes)}"
        )
    return EXIT_OK
