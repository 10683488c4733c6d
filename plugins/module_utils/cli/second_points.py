# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands tell of the second destination: its points, and whether it can be read."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional

from ..base.errors import BackupError
from ..base.progress import human_bytes
from ..config.schema import Config
from ..points.model import Seal
from ..points.read import Points, read_points
from ..process.runner import SubprocessRunner
from ..second.store import require_second, second_rclone
from .origin import Asked
from .output import say
from .places import SECOND

Tell = Callable[[Seal], Dict[str, Any]]


def points_on_second(asked: Asked) -> Optional[Points]:
    """The points of the second destination; None when there is none or it can't be read now.

    Only when nothing else was asked for (``--from second``) is that an error.
    """
    if asked.is_second:
        return read_points(asked.rclone)
    if not asked.is_board or not asked.config.second.enabled:
        return None
    try:
        require_second(asked.config)
        return read_points(second_rclone(asked.config, SubprocessRunner()))
    except BackupError as error:
        sys.stderr.write(f"the second destination can't be read now: {error}\n")
        return None


def second_told(points: Points, tell: Tell) -> List[Dict[str, Any]]:
    """The points for a JSON answer; *tell* says what a seal says."""
    nights = [
        {**tell(seal), "id": seal.id, "kind": "daily", "destination": SECOND}
        for seal in points.nights
    ]
    weeklies = [
        {
            **tell(point.seal),
            "id": f"weekly/{point.name}",
            "kind": "weekly",
            "mode": point.mode,
            "point": point.seal.id,
            "destination": SECOND,
        }
        for point in points.weeklies
    ]
    return nights + weeklies


def say_second(points: Points, config: Config) -> None:
    """The points for a person."""
    where = config.second.path or "lepotato_backup_second_remote"
    if not points.nights and not points.weeklies:
        say(f"second destination ({where}): no night has been sealed there yet")
        return
    say(f"second destination ({where}):")
    rows = [(seal.id, "daily", seal) for seal in points.nights]
    rows += [(f"weekly/{point.name}", "weekly", point.seal) for point in points.weeklies]
    for name, kind, seal in rows:
        total = seal.total
        say(f"{name:<26}{kind:<8}{total.files:>10}{human_bytes(total.bytes):>12}")
    say("restore one with: restore-from-b2.sh --from second daily|weekly [DATE] --target DIR")
