# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rclone's commands ask of B2, estimated: rclone itself does not say.

It has no count of its calls by name: ``--dump headers`` would copy every upload through its
memory, and ``--metrics-addr`` knows hosts and methods only. But the commands of a night are
regular. To open a remote path takes an authorization (class C) and a question whether it is a
file (class B), or with ``--b2-version-at`` a listing (C); a listing takes a call for every 1,000
names (C); an upload is free, a download or a look at one file is of class B, a copy in the bucket
of class C. An integration test compares it with what the stand-in counted. Repeated attempts and
the parts of large files are not in it.
"""

from __future__ import annotations

from typing import Sequence

from ..b2.call_classes import Calls
from ..base.progress import TransferStats
from ..config.schema import Rclone

NAMES_PER_CALL = 1000

_WRITING = ("sync", "copy", "copyto", "rcat")


def estimate_calls(command: Sequence[str], config: Rclone, stats: TransferStats) -> Calls:
    """What *command* (a verb and its arguments), which ended with *stats*, asked of B2."""
    verb = command[0]
    remotes = [word for word in command[1:] if word.startswith(f"{config.crypt_remote}:")]
    if verb == "cryptdecode" or not remotes:
        return Calls()
    calls = _opened(command, len(remotes))
    if verb not in ("copyto", "rcat") and "--no-traverse" not in command:
        calls += Calls(class_c=_listings(command, len(remotes), stats))
    if "--no-traverse" in command and (verb == "delete" or command[-2] in remotes):
        # By a list of files in the bucket: each is looked up first.
        calls += Calls(class_b=stats.deletes + stats.transfers)
    moved = max(0, stats.transfers - stats.server_side_copies)
    calls += Calls(class_a=stats.deletes, class_c=stats.server_side_copies)
    if verb in _WRITING and command[-1] == remotes[-1]:
        # Each of the transfers under way needs an address to send to.
        return calls + Calls(class_a=moved + min(moved, config.transfers))
    return calls + Calls(class_b=moved)


def _opened(command: Sequence[str], paths: int) -> Calls:
    if any(word.startswith("--b2-version-at=") for word in command):
        return Calls(class_c=2 * paths)
    return Calls(class_b=paths, class_c=paths)


def _listings(command: Sequence[str], paths: int, stats: TransferStats) -> int:
    # Directory by directory, rclone counts each name twice: as B2's and as the crypt remote's.
    names = stats.listed if "--fast-list" in command else stats.listed // 2
    # Each path takes a call, however little is there.
    return max(1, -(-names // NAMES_PER_CALL)) + paths - 1
