# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries' bytes travel to the bucket, under which name, and what changed of that.

The content of a hard-link group travels once, under its leader's name; that of a file with an odd
name under its carrier's (:mod:`.carriers`). All paths here are bytes relative to the described
root, hold no newline and are safe for ``rclone --files-from-raw`` and ``--no-traverse``.
"""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

from ..base.name_set import NameSet
from .file import read_entries
from .model import FILE, AnyPath, Entry, Select, content_path, merged

UPLOAD = "upload"
DELETE = "delete"


def iter_upload_paths(manifest: AnyPath) -> Iterator[bytes]:
    """Every path whose bytes travel: plain names, leaders of groups, carriers; each once."""
    return map(content_path, iter_travelling(manifest))


def iter_download_paths(manifest: AnyPath, select: Optional[Select] = None) -> Iterator[bytes]:
    """What must be downloaded for the entries whose path *select* accepts; each path once.

    It may name leaders that are not selected themselves: apply removes them at its end.
    """
    with NameSet() as foreign:
        for entry in read_entries(manifest):
            if entry.type != FILE or not (select is None or select(entry.path)):
                continue
            path = content_path(entry)
            if entry.link is not None:
                if (select is None or select(entry.link)) or path in foreign:
                    continue
                foreign.add(path)
            yield path


def iter_upload_changes(
    previous: Optional[AnyPath], current: AnyPath
) -> Iterator[Tuple[str, bytes]]:
    """What must be done to a bucket that holds *previous* so that it holds *current*.

    Yields (:data:`UPLOAD`, path) for new or changed bytes or mtimes and (:data:`DELETE`, path)
    for names that no longer travel, in the manifest's order.
    """
    before = iter_travelling(previous) if previous is not None else iter(())
    for old, new in merged(before, iter_travelling(current)):
        if new is None:
            if old is not None:
                yield DELETE, content_path(old)
        elif old is None:
            yield UPLOAD, content_path(new)
        elif content_path(old) != content_path(new):
            yield DELETE, content_path(old)
            yield UPLOAD, content_path(new)
        elif (old.size, old.mtime_ns, old.sha256) != (new.size, new.mtime_ns, new.sha256):
            yield UPLOAD, content_path(new)


def iter_travelling(manifest: AnyPath) -> Iterator[Entry]:
    """The entries whose bytes travel; :func:`.model.content_path` tells under which name."""
    return (entry for entry in read_entries(manifest) if entry.type == FILE and entry.link is None)
