# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every restore says of files that are damaged where they are stored."""

from __future__ import annotations

import os
from typing import Callable, Mapping, Sequence

from ..base.printable import printable
from ..points.model import Seal
from ..process.logs import RunLog
from ..restore.directory import WORK_DIRECTORY, RestoreResult, problem_told
from ..restore.earlier_whole import earlier_whole
from .origin import Asked


def earlier_of(
    asked: Asked, seal: Seal, target: str, log: RunLog
) -> Callable[[Sequence[bytes]], Mapping[bytes, str]]:
    """What looks up which earlier point has damaged paths of *seal* whole."""

    def earlier(paths: Sequence[bytes]) -> Mapping[bytes, str]:
        log.info(f"looking for an earlier point that has {len(paths)} damaged files whole")
        work = os.path.join(target, WORK_DIRECTORY)
        return earlier_whole(asked.rclone, asked.download, seal, paths, work, log)

    return earlier


def tell_issues(log: RunLog, result: RestoreResult) -> None:
    """Warn of what was restored with a blemish, and of damage that was accepted."""
    for issue in result.applied.warnings:
        log.warning(f"{printable(issue.path)}: {issue.reason}")
    for issue in result.applied.problems:
        log.warning(f"not restored: {problem_told(issue, {})}")


def checksums_told(damaged: int) -> str:
    """How the checksums came out, for the last line of a restore."""
    return f"without {damaged} damaged entries" if damaged else "every checksum right"
