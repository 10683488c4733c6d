# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the weekly point that a person means."""

from __future__ import annotations

from ..bucket.layout import POINTS_DIRECTORY
from ..rclone.commands import Rclone
from .model import Seal
from .weekly import choose_weekly, parse_weekly, weeklies_of


def find_weekly(rclone: Rclone, wanted: str) -> Seal:
    """The seal of the weekly point of the date *wanted* ("" means the newest)."""
    names = rclone.names(rclone.crypt(POINTS_DIRECTORY))
    path = choose_weekly(weeklies_of(names), wanted).path
    return parse_weekly(rclone.cat(rclone.crypt(path)).decode("utf-8", "replace"), path).seal
