# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read every restore point of a destination: its nights and its weekly points."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Tuple

from .rclone import Rclone
from .restore import seals_in
from .restore_points import POINTS_DIRECTORY, Seal
from .weekly_points import WeeklyPoint, parse_weekly, weeklies_of


@dataclass(frozen=True)
class Points:
    """Everything that can be restored from one destination, oldest first."""

    nights: Tuple[Seal, ...] = ()
    weeklies: Tuple[WeeklyPoint, ...] = ()


def read_points(rclone: Rclone) -> Points:
    """Read every point below the crypt remote; downloads one small object each."""
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        rclone.copy(rclone.crypt(POINTS_DIRECTORY), directory)
        weeklies = []
        for weekly in weeklies_of(os.listdir(directory)):
            path = os.path.join(directory, os.path.basename(weekly.path))
            with open(path, encoding="utf-8") as stream:
                weeklies.append(parse_weekly(stream.read(), weekly.path))
        return Points(tuple(seals_in(directory)), tuple(weeklies))
