# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore --check: how the live data differs from a restore point."""

from __future__ import annotations

import argparse
from typing import List

from ..base.errors import EXIT_OK, EXIT_WARNINGS
from ..points.model import Seal
from ..restore.check import LiveDifference, compare_live
from ..restore.selection import Chooser
from .origin import Asked, board_config
from .output import answer, say

# A JSON answer names so many differences and counts the rest.
DIFFERENCES_TOLD = 1000


def compare(
    arguments: argparse.Namespace, asked: Asked, seal: Seal, manifest: str, chooser: Chooser
) -> int:
    """Tell how the live data differs from a point; 3 when it does."""
    config = board_config(asked)
    listed: List[str] = []

    def heard(difference: LiveDifference) -> None:
        if not arguments.json:
            say(difference.told)
        elif len(listed) < DIFFERENCES_TOLD:
            listed.append(difference.told)

    found = compare_live(manifest, chooser, config.sources, (config.paths.staging,), heard)
    if arguments.json:
        answer(
            {
                "point": seal.id,
                "equal": found.is_equal,
                "entries": found.entries,
                **found.counts,
                "differences": listed,
            }
        )
    elif found.is_equal:
        say(f"the live data is what {seal.id} holds: {found.entries} entries compared")
    else:
        told = ", ".join(f"{count} {what}" for what, count in found.counts.items() if count)
        say(f"{told}, of {found.entries} entries in {seal.id}")
    return EXIT_OK if found.is_equal else EXIT_WARNINGS
