# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.b2.call_classes import Calls
from ansible_collections.lepotato.backup.plugins.module_utils.base.progress import TransferStats
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.call_estimate import (
    estimate_calls,
)

DAILY = "b2-encrypted:daily"
WEEKLY = "b2-encrypted:weekly/backup-2026-11-22"


# What the stand-in counted of rclone 1.75.2 doing this.
@pytest.mark.parametrize(
    ("command", "stats", "calls"),
    [
        (["size", "--json", "--fast-list", DAILY], TransferStats(listed=1263), Calls(0, 1, 3)),
        (["lsf", "--csv", "b2-encrypted:points"], TransferStats(), Calls(0, 1, 2)),
        (["lsf", "--csv", "b2-encrypted:points"], TransferStats(listed=12), Calls(0, 1, 2)),
        (["rcat", "b2-encrypted:points/x.json"], TransferStats(transfers=1), Calls(2, 1, 1)),
        (
            ["copyto", "/state/m.gz", "b2-encrypted:m.gz"],
            TransferStats(transfers=1),
            Calls(2, 1, 1),
        ),
        (["cat", "b2-encrypted:points/x.json"], TransferStats(transfers=1), Calls(0, 2, 2)),
        (
            ["copy", "--no-traverse", "--no-check-dest", "/daily", DAILY],
            TransferStats(transfers=1263),
            Calls(1263 + 12, 1, 1),
        ),
        (
            ["delete", "--no-traverse", "--files-from-raw=/list", DAILY],
            TransferStats(deletes=2, checks=2, listed=2),
            Calls(2, 3, 1),
        ),
        (
            ["sync", "--fast-list", DAILY, WEEKLY],
            TransferStats(transfers=1261, server_side_copies=1261, listed=1261),
            Calls(0, 2, 1261 + 2 + 3),
        ),
        (
            ["copy", "--no-traverse", "--no-check-dest", DAILY, WEEKLY],
            TransferStats(transfers=40, server_side_copies=40),
            Calls(0, 42, 42),
        ),
        (
            ["copy", "--no-traverse", DAILY, "/here"],
            TransferStats(transfers=40),
            Calls(0, 81, 1),
        ),
        (["delete", "--fast-list", WEEKLY], TransferStats(deletes=40, listed=40), Calls(40, 1, 2)),
        (["copy", "b2-encrypted:points", "/here"], TransferStats(transfers=7), Calls(0, 8, 2)),
        (["cryptdecode", "--reverse", "--", "b2-encrypted:", "x"], TransferStats(), Calls()),
        (["copy", "/here", "/there"], TransferStats(transfers=7), Calls()),
    ],
)
def test_estimates_are_what_was_counted(
    command: list[str], stats: TransferStats, calls: Calls
) -> None:
    assert estimate_calls(command, Rclone(), stats) == calls


def test_reading_an_older_version_takes_a_listing_instead_of_a_look() -> None:
    command = ["size", "--b2-version-at=2026-11-22T02:00:00Z", "--fast-list", DAILY]
    assert estimate_calls(command, Rclone(), TransferStats(listed=1261)) == Calls(0, 0, 2 + 2)
