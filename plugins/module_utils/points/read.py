# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read every restore point of a destination: its nights and its weekly points."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Callable, Iterator, List, Sequence, Tuple, TypeVar

from ..base.errors import BackupError
from ..bucket.layout import POINTS_DIRECTORY
from ..rclone.commands import Rclone
from ..rclone.log import RcloneError
from .model import Seal, ids_of_seals, parse_seal, seal_path
from .weekly import WeeklyPoint, parse_weekly, weeklies_of

T = TypeVar("T")


@dataclass(frozen=True)
class Points:
    """Everything that can be restored from one destination, oldest first; *problems* say which
    points can't be read."""

    nights: Tuple[Seal, ...] = ()
    weeklies: Tuple[WeeklyPoint, ...] = ()
    problems: Tuple[str, ...] = ()


def read_points(rclone: Rclone) -> Points:
    """Read every point below the crypt remote; downloads one small object each.

    One that is damaged hides none of the others: on the worst day they are what there is.
    """
    problems: List[str] = []
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        try:
            rclone.copy(rclone.crypt(POINTS_DIRECTORY), directory)
        except RcloneError as error:
            # B2 out of reach brings nothing, a damaged object all but itself.
            if not os.listdir(directory):
                raise
            problems.append(error.message)
        names = os.listdir(directory)
        nights = [seal_path(identifier) for identifier in ids_of_seals(names)]
        weeklies = [weekly.path for weekly in weeklies_of(names)]
        return Points(
            tuple(_readable(directory, nights, parse_seal, problems)),
            tuple(_readable(directory, weeklies, parse_weekly, problems)),
            tuple(problems),
        )


def _readable(
    directory: str, paths: Sequence[str], parse: Callable[[str, str], T], problems: List[str]
) -> Iterator[T]:
    for path in paths:
        local = os.path.join(directory, os.path.basename(path))
        with open(local, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
        try:
            yield parse(text, path)
        except BackupError as error:
            problems.append(error.message)
