# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mend staged files that were damaged where they lie, from the sources that they came from."""

from __future__ import annotations

import os
from typing import Dict, List, Sequence, Set

from ..config.schema import Config, Source
from ..filesystem.sha256 import sha256_of
from ..manifest.file import read_entries
from ..manifest.model import FILE, Entry


def mendable(config: Config, manifest: str, damaged: Sequence[bytes]) -> Dict[str, List[str]]:
    """Which of the *damaged* files of *manifest* have a source that is what they were: by tree,
    the sources' paths, every name of a group of hard links among them."""
    groups = _groups(manifest, set(damaged))
    sources = {source.tree: source for source in config.sources}
    found: Dict[str, List[str]] = {}
    for entries in groups.values():
        paths = [_live_path(entry.path) for entry in entries]
        tree = os.fsdecode(entries[0].path.split(b"/", 1)[0])
        source = sources.get(tree)
        if source is not None and all(map(_is_as_it_was, paths, entries)):
            found.setdefault(tree, []).extend(paths)
    return found


def remove_staged(config: Config, source: Source, paths: Sequence[str]) -> None:
    """Remove the staged copies of *paths*, so that rsync makes them anew."""
    for path in paths:
        os.unlink(os.path.join(config.paths.daily, source.tree) + path)


def _groups(manifest: str, damaged: Set[bytes]) -> Dict[bytes, List[Entry]]:
    """The damaged entries by the name that leads their hard links."""
    groups: Dict[bytes, List[Entry]] = {}
    for entry in read_entries(manifest):
        leader = entry.link if entry.link is not None else entry.path
        if entry.type == FILE and leader in damaged:
            groups.setdefault(leader, []).append(entry)
    return groups


def _live_path(path: bytes) -> str:
    return "/" + os.fsdecode(path.partition(b"/")[2])


def _is_as_it_was(path: str, entry: Entry) -> bool:
    """Whether the source at *path* is the file that *entry* describes."""
    try:
        found = os.lstat(path)
        if (found.st_size, found.st_mtime_ns) != (entry.size, entry.mtime_ns):
            return False
        return not os.path.islink(path) and sha256_of(path) == entry.sha256
    except OSError:
        # Gone or unreadable: nothing to mend from.
        return False
