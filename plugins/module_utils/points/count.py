# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what the bucket holds of a night, objects and bytes: before its seal, and to prove it."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.name_set import NameSet
from ..bucket.layout import DAILY_DIRECTORY, POINTS_DIRECTORY, Amount
from ..manifest.travelling import iter_upload_paths
from ..rclone.commands import Rclone
from ..rclone.name_lists import raw_path, read_listing
from .model import Seal, ids_of_seals, parse_seal, seal_path

FIRST_NAMES = 5


@dataclass(frozen=True)
class CountProof:
    """The newest seal and what the bucket holds of it; both amounts are equal."""

    point: str
    sealed_at: str
    sealed: Amount
    found: Amount
    seconds: float


class CountMismatch(BackupError):
    """The bucket does not hold what the night *point* was sealed with."""

    def __init__(self, point: str, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.point = point


def newest_seal(rclone: Rclone) -> Optional[Seal]:
    """The newest seal below the crypt remote; None when no night was ever sealed."""
    return newest_of(rclone, rclone.names(rclone.crypt(POINTS_DIRECTORY)))


def newest_of(rclone: Rclone, point_names: Sequence[str]) -> Optional[Seal]:
    """The newest seal among the objects of the points directory; None when there is none."""
    identifiers = ids_of_seals(point_names)
    if not identifiers:
        return None
    path = rclone.crypt(seal_path(identifiers[-1]))
    return parse_seal(rclone.cat(path).decode("utf-8", "replace"), path)


def check_count(rclone: Rclone, expected: Amount) -> None:
    """Raise :class:`BackupError` unless ``daily/`` in the bucket holds *expected*."""
    found = rclone.size(rclone.crypt(DAILY_DIRECTORY))
    if (found.files, found.bytes) != (expected.files, expected.bytes):
        raise BackupError(
            f"the bucket holds {found.files} files of {found.bytes} bytes below daily/ and not "
            f"{expected.files} of {expected.bytes}: the night is not sealed",
            "The next night compares the whole bucket and sends what is missing; when it happens "
            "again, check whether another host writes to the same lepotato_backup_host_prefix",
        )


def prove_count(rclone: Rclone, work_directory: Optional[str] = None) -> CountProof:
    """Count what the bucket held of the newest sealed night at the time of its seal.

    Reads the bucket as of the seal, as a restore does, so an interrupted later night does not
    matter. Raises a :class:`CountMismatch` that says how much is missing and, from the night's
    manifest, what; a :class:`BackupError` when there is no night. *work_directory* holds the
    listing while that is found out (about 100 bytes a file). Costs a listing of the prefix's
    versions (one call per 1,000).
    """
    started = time.monotonic()
    seal = newest_seal(rclone)
    if seal is None:
        raise BackupError(
            f"{rclone.crypt()} holds no sealed night",
            "Run /opt/backup/scripts/backup-to-b2.sh once; when there should be one, check "
            "lepotato_backup_bucket and lepotato_backup_host_prefix",
        )
    size = rclone.size(rclone.crypt(DAILY_DIRECTORY), version_at=seal.version_at)
    found = Amount(size.files, size.bytes)
    if found != seal.upload:
        raise CountMismatch(
            seal.id,
            f"The night {seal.id} was sealed with {_text(seal.upload)}, but the bucket holds "
            f"{_text(found)} of it" + _what_differs(rclone, seal, work_directory),
            "Restore from an older night if you must restore now; run backup-to-b2.sh to send what "
            "is missing and seal anew",
        )
    return counted(seal, found, started)


def counted(seal: Seal, found: Amount, started_seconds: float) -> CountProof:
    """The proof that *found* is what *seal* says; *started_seconds* is on the monotonic clock."""
    return CountProof(
        point=seal.id,
        sealed_at=seal.sealed_at,
        sealed=seal.upload,
        found=found,
        seconds=round(time.monotonic() - started_seconds, 3),
    )


def _what_differs(rclone: Rclone, seal: Seal, work_directory: Optional[str]) -> str:
    """Name what is missing by tree, from the manifest; "" when nothing is."""
    with tempfile.TemporaryDirectory(prefix="lepotato-count-", dir=work_directory) as directory:
        manifest = os.path.join(directory, "manifest.jsonl.gz")
        listing = os.path.join(directory, "listing.csv")
        try:
            rclone.copyto(rclone.crypt(seal.manifest.path), manifest, version_at=seal.version_at)
        except BackupError as error:
            return f"; its manifest can't be read either ({error.message})"
        rclone.list_to(rclone.crypt(DAILY_DIRECTORY), listing, version_at=seal.version_at)
        by_tree: Dict[str, int] = {}
        first: List[str] = []
        with NameSet() as present:
            for entry in read_listing(listing):
                present.add(raw_path(entry))
            for path in iter_upload_paths(manifest):
                if path not in present:
                    tree, name = _tree_and_name(path)
                    by_tree[tree] = by_tree.get(tree, 0) + 1
                    if len(first) < FIRST_NAMES:
                        first.append(name)
    if not by_tree:
        return ": every name is there, but sizes differ or there is more than was sealed"
    trees = ", ".join(f"{count} from {tree}" for tree, count in sorted(by_tree.items()))
    return f": missing are {trees}; the first: {', '.join(first)}"


def _tree_and_name(path: bytes) -> Tuple[str, str]:
    name = path.decode("utf-8", "backslashreplace")
    return name.split("/", 1)[0], name


def _text(amount: Amount) -> str:
    return f"{amount.files} objects of {amount.bytes} bytes"
