# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the staged trees to what is configured."""

from __future__ import annotations

import os
import shutil
from typing import Iterator, List, Mapping, Sequence, Set

from ..base.errors import BackupError


def prune_unlisted(
    daily: str,
    trees: Mapping[str, Sequence[str]],
    other_trees: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> List[str]:
    """Remove from the staged copy what belongs to no configured source; return what was removed.

    *trees* maps a tree to its absolute source paths, staged at ``DAILY/TREE/full/path``; nothing
    below a source is touched here. *other_trees* are directories of *daily* to leave alone. With
    *dry_run* nothing is removed, and what would be is returned.
    """
    unlisted: List[str] = []
    try:
        for name in _names(daily):
            if name in trees:
                wanted = [path.strip("/").split("/") for path in trees[name]]
                unlisted += _unlisted(os.path.join(daily, name), wanted)
            elif name not in other_trees:
                unlisted.append(os.path.join(daily, name))
        if not dry_run:
            for path in unlisted:
                _remove(path)
    except OSError as error:
        raise BackupError(f"staging can't be tidied: {error}") from error
    return unlisted


def _unlisted(directory: str, wanted: Sequence[Sequence[str]]) -> Iterator[str]:
    if any(not parts for parts in wanted):
        return
    heads: Set[str] = {parts[0] for parts in wanted}
    for name in _names(directory):
        path = os.path.join(directory, name)
        if name not in heads:
            yield path
        elif os.path.isdir(path) and not os.path.islink(path):
            yield from _unlisted(path, [parts[1:] for parts in wanted if parts[0] == name])


def _names(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
