# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies where below the crypt remote, and how amounts of it are told."""

from __future__ import annotations

from dataclasses import dataclass

POINTS_DIRECTORY = "points"
MANIFESTS_DIRECTORY = "manifests"
DAILY_DIRECTORY = "daily"
WEEKLY_DIRECTORY = "weekly"
# On the second destination only, which has no version history: what nights replaced there.
HISTORY_DIRECTORY = "history"


@dataclass(frozen=True)
class Amount:
    """A number of files (or objects) and their plain bytes."""

    files: int
    bytes: int
