# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a tree still is what its manifest says, without reading it again."""

from __future__ import annotations

import os
from typing import Iterator, Sequence

from .file import read_entries
from .hard_links import LinkWindow
from .model import FILE, AnyPath, Entry


def iter_touched(
    root: AnyPath, manifest: AnyPath, windows: Sequence[LinkWindow]
) -> Iterator[Entry]:
    """The files of *manifest* that are gone from *root* or were written to since they were read.

    *windows* (:func:`.hard_links.read_link_windows`) are the times in which our own links changed
    ctimes. A damaged block that nobody wrote is not seen: that takes a read. Files that were
    described as they had been before (ctime 0) are not looked at.
    """
    base = os.fsencode(root)
    for entry in read_entries(manifest):
        if entry.type != FILE or not entry.ctime_ns:
            continue
        try:
            found = os.lstat(os.path.join(base, entry.path))
        except FileNotFoundError:
            yield entry
            continue
        known = (entry.inode, entry.size, entry.mtime_ns)
        touched = entry.ctime_ns != found.st_ctime_ns and not any(
            window.start_ns <= found.st_ctime_ns <= window.end_ns for window in windows
        )
        if touched or known != (found.st_ino, found.st_size, found.st_mtime_ns):
            yield entry
