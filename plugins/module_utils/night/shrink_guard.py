# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard against a loss: a night that would copy an emptied source over a good one ends here.

A disk that is not mounted, or a service that lost its data, looks like a person who deleted much.
Only the person can tell: ``--accept-shrink``.
"""

from __future__ import annotations

from typing import Mapping, Optional

from ..base.errors import BackupError
from ..bucket.layout import Amount
from ..config.schema import Guards
from ..points.model import Seal
from .source_sizes import TreeSize

# A few files fewer in a small tree is a person tidying up, not a disk that is gone.
SHRINK_FLOOR_FILES = 50
SHRINK_FLOOR_BYTES = 64 * 1024**2


def check_shrink(
    guards: Guards, before: Optional[Seal], sizes: Mapping[str, TreeSize], accepted: bool
) -> None:
    """No tree lost more files or bytes since the seal *before* than ``guards`` allows.

    Raises :class:`BackupError` naming the tree, unless the loss was *accepted*.
    """
    if before is None or accepted:
        return
    for tree, size in sizes.items():
        amount, now = before.trees.get(tree, Amount(0, 0)), size.now
        for what, old, new, floor in (
            ("files", amount.files, now.files, SHRINK_FLOOR_FILES),
            ("bytes", amount.bytes, now.bytes, SHRINK_FLOOR_BYTES),
        ):
            lost = old - new
            emptied = old > 0 and new == 0 and what == "files"
            large = lost > floor and lost * 100 > old * guards.shrink_percent_max
            if emptied or large:
                raise BackupError(
                    f"{tree} has {new} {what} and had {old} when {before.id} was sealed: more "
                    f"than {guards.shrink_percent_max} % are gone, nothing was changed",
                    "Look whether its disk is mounted and its data is there. If the loss is "
                    "right, run backup-to-b2.sh --accept-shrink once",
                )
