# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which earlier point still has a file whole that is damaged in the one that was asked for."""

from __future__ import annotations

import os
import tempfile
from typing import Dict, List, Sequence, Set, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.paths import free_bytes_at
from ..filesystem.sha256 import sha256_of
from ..manifest.file import read_entries
from ..manifest.model import FILE, Entry, content_path
from ..points.model import Seal, parse_seal, seal_path
from ..rclone.commands import Rclone
from ..rclone.log import RcloneError
from ..rclone.name_lists import write_file_list
from .directory import Download, Wanted
from .open_point import fetch_manifest, point_ids

# Each file is downloaded to be proven: a person waits for it on the worst day.
FILE_BYTES_MAX = 2 * 1024**3

# What makes two stored versions the same object: it would be damaged in both.
_Version = Tuple[int, int, str]


def earlier_whole(
    rclone: Rclone,
    download: Download,
    seal: Seal,
    paths: Sequence[bytes],
    directory: str,
    journal: Journal,
) -> Dict[bytes, str]:
    """For each of *paths* the newest point before *seal* whose file was fetched and is right.

    Paths that no earlier point has whole are missing in the answer. Works in *directory*.
    """
    found: Dict[bytes, str] = {}
    tried: Dict[bytes, Set[_Version]] = {path: set() for path in paths}
    older = [identifier for identifier in point_ids(rclone) if identifier <= seal.id]
    for identifier in reversed(older):
        if len(found) == len(tried):
            break
        wanted = [path for path in tried if path not in found]
        with tempfile.TemporaryDirectory(prefix=".earlier-", dir=directory) as work:
            try:
                earlier, entries = _entries(rclone, identifier, wanted, work)
            except BackupError as error:
                journal.info(f"{identifier} has no answer: {error.message}")
                continue
            for entry in entries:
                version = (entry.size, entry.mtime_ns, entry.sha256 or "")
                is_new = version not in tried[entry.path]
                tried[entry.path].add(version)
                # In the point that was asked for they are what was found damaged.
                if is_new and identifier != seal.id and _is_whole(download, earlier, entry, work):
                    found[entry.path] = identifier
    return found


def _entries(
    rclone: Rclone, identifier: str, paths: Sequence[bytes], work: str
) -> Tuple[Seal, List[Entry]]:
    text = rclone.cat(rclone.crypt(seal_path(identifier))).decode("utf-8", "replace")
    seal = parse_seal(text, seal_path(identifier))
    manifest = os.path.join(work, "manifest.jsonl.gz")
    fetch_manifest(rclone, seal, manifest)
    wanted = set(paths)
    entries = (entry for entry in read_entries(manifest) if entry.type == FILE)
    return seal, [entry for entry in entries if entry.path in wanted]


def _is_whole(download: Download, seal: Seal, entry: Entry, work: str) -> bool:
    if entry.size > min(FILE_BYTES_MAX, free_bytes_at(work)):
        return False
    target = os.path.join(work, "content")
    os.makedirs(target, exist_ok=True)
    names = os.path.join(work, "download.list")
    write_file_list(names, [content_path(entry)])
    try:
        download(Wanted(seal, target, names, 1, is_whole=False))
        path = os.path.join(os.fsencode(target), content_path(entry))
        return sha256_of(os.fsdecode(path)) == entry.sha256
    except (RcloneError, OSError):
        # Not whole there either, or not to be had: the next older one is asked.
        return False
