# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a point back from the second destination, where there is no version history to ask.

A file of a point lies in the history of the first night after it that replaced or removed the
file, and in ``daily/`` when none did.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import List

from ..base.errors import BackupError
from ..base.name_set import NameSet
from ..bucket.layout import Amount
from ..manifest.model import content_path
from ..manifest.travelling import iter_travelling
from ..points.count import CountProof, counted, newest_seal
from ..rclone.commands import Rclone
from ..rclone.name_lists import raw_path, read_listing, write_file_list
from ..restore.directory import LOOKED_UP_FILES_MAX, Download, Wanted
from ..restore.open_point import fetch_manifest
from .store import histories

NAMES_TOLD = 5

_LISTING_SUFFIX = ".listing"
_PART_SUFFIX = ".part"


def download_from_second(rclone: Rclone) -> Download:
    """Downloads from wherever on the second destination a point's files lie by now."""

    def download(wanted: Wanted) -> None:
        part = wanted.files_from + _PART_SUFFIX
        with NameSet() as remaining:
            with open(wanted.files_from, "rb") as stream:
                for line in stream:
                    remaining.add(line[:-1])
            for directory in _directories_after(rclone, wanted.seal.id):
                source = rclone.crypt(directory)
                listing = wanted.files_from + _LISTING_SUFFIX
                rclone.list_to(source, listing)
                found = (raw_path(entry) for entry in read_listing(listing))
                count = write_file_list(part, (path for path in found if remaining.discard(path)))
                _copy(rclone, source, part, count, wanted)
            count = write_file_list(part, remaining)
            _copy(rclone, rclone.crypt(wanted.seal.data), part, count, wanted)

    return download


def prove_second(rclone: Rclone, work_directory: str) -> CountProof:
    """Look that all of the newest point lies on the second destination, name by name.

    Raises :class:`BackupError` naming what is missing or has another size. *work_directory* holds
    the manifest and listings meanwhile.
    """
    started = time.monotonic()
    seal = newest_seal(rclone)
    if seal is None:
        raise BackupError(
            "the second destination holds no sealed night",
            "Run backup-to-b2.sh with its disk or server in place",
        )
    with tempfile.TemporaryDirectory(prefix="second-", dir=work_directory) as directory:
        manifest = os.path.join(directory, "manifest.jsonl.gz")
        listing = os.path.join(directory, "listing.csv")
        fetch_manifest(rclone, seal, manifest)
        with NameSet() as remaining:
            for entry in iter_travelling(manifest):
                remaining.add(_sized(entry.size, content_path(entry)))
            found_files = found_bytes = 0
            for place in [*_directories_after(rclone, seal.id), seal.data]:
                rclone.list_to(rclone.crypt(place), listing)
                for item in read_listing(listing):
                    if remaining.discard(_sized(item.bytes, raw_path(item))):
                        found_files, found_bytes = found_files + 1, found_bytes + item.bytes
            missing = _first(remaining)
    found = Amount(found_files, found_bytes)
    if missing:
        raise BackupError(
            f"{seal.upload.files - found.files} of the {seal.upload.files} files of {seal.id} are "
            f"missing on the second destination or have another size: {', '.join(missing)}",
            "The next night compares all of it and sends what is missing",
        )
    return counted(seal, found, started)


def _copy(rclone: Rclone, source: str, files_from: str, count: int, wanted: Wanted) -> None:
    if count:
        rclone.copy(
            source,
            wanted.target,
            files_from=files_from,
            no_traverse=count <= LOOKED_UP_FILES_MAX,
            on_progress=wanted.on_progress,
        )


def _directories_after(rclone: Rclone, identifier: str) -> List[str]:
    return [one.path for one in histories(rclone) if one.point_id > identifier]


def _sized(size_bytes: int, path: bytes) -> bytes:
    return b"%d %s" % (size_bytes, path)


def _first(names: NameSet) -> List[str]:
    first: List[str] = []
    for name in names:
        if len(first) == NAMES_TOLD:
            break
        first.append(name.split(b" ", 1)[1].decode("utf-8", "backslashreplace"))
    return first
