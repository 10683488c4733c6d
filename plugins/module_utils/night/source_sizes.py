# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sources hold tonight, and what staging them takes: measured before anything is touched.

The checks of space and the guard against a loss go by the same figures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

from ..base.errors import BackupError
from ..bucket.layout import Amount
from ..capture.copy import copy_source
from ..config.schema import Config, Source
from ..process.runner import Runner


@dataclass(frozen=True)
class TreeSize:
    """What a tree's sources hold now, and what staging them takes and gives back.

    *files_new* counts entries of every kind that get an inode of their own; *bytes_freed* is known
    only where there is a maximum to keep to. *largest* are the largest files to copy, by their
    bytes on the disk, where that was asked for.
    """

    now: Amount
    to_copy_bytes: int
    files_new: int = 0
    directories: int = 0
    bytes_freed: int = 0
    largest: Tuple[Tuple[int, str], ...] = ()


def sizes_told(sizes: Mapping[str, TreeSize]) -> Dict[str, Dict[str, int]]:
    """*sizes* for the run record."""
    return {
        tree: {
            "files": size.now.files,
            "bytes": size.now.bytes,
            "to_copy_bytes": size.to_copy_bytes,
        }
        for tree, size in sizes.items()
    }


def present_paths(source: Source) -> List[str]:
    """The source's paths that exist.

    Raises :class:`BackupError` when a required one is missing, can't be read or is an empty
    directory: that is how an SSD that is not mounted looks.
    """
    present = []
    for path in source.paths:
        if not os.path.lexists(path):
            if source.required:
                raise BackupError(
                    f"the source {path} of {source.tree} is missing",
                    "Is its disk mounted? If it is gone for good, take it out of agent_sources",
                )
            continue
        if source.required and os.path.isdir(path) and not os.listdir(path):
            raise BackupError(
                f"the source {path} of {source.tree} is an empty directory",
                "Is its disk mounted? If it is meant to be empty, set required: false for it in "
                "agent_sources",
            )
        present.append(path)
    return present


def measure_tree(
    config: Config, source: Source, runner: Runner, *, in_blocks: bool = False
) -> TreeSize:
    """Ask rsync what *source* holds and what it would copy; nothing is written.

    *in_blocks* looks at each file that would be copied: a sparse one takes less than it says.
    Raises :class:`BackupError` (see :func:`present_paths`) or :class:`CommandError`.
    """
    paths = present_paths(source)
    if not paths:
        return TreeSize(Amount(0, 0), 0)
    stats = copy_source(
        config,
        runner,
        source,
        paths,
        may_vanish=True,
        dry_run=True,
        count_freed=config.guards.staging_maximum_bytes > 0,
        count_blocks=in_blocks,
    )
    return TreeSize(
        Amount(stats.files_regular, stats.bytes_total),
        stats.block_bytes if in_blocks else stats.bytes_transferred,
        max(stats.files_created, stats.files_transferred),
        stats.directories,
        stats.bytes_freed,
        stats.largest,
    )
