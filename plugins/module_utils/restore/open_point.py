# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the point that a person means, and its manifest; from a damaged one on to the next."""

from __future__ import annotations

import os
import shutil
from typing import List

from ..base.errors import BackupError
from ..base.journal import Journal
from ..bucket.layout import POINTS_DIRECTORY
from ..filesystem.sha256 import sha256_of
from ..points.model import (
    DamagedPointError,
    Seal,
    choose_point,
    ids_of_seals,
    parse_seal,
    seal_path,
)
from ..points.weekly_find import find_weekly
from ..rclone.commands import Rclone
from ..rclone.log import RcloneDamaged, RcloneNotFound


def point_ids(rclone: Rclone) -> List[str]:
    """The sealed nights in the bucket, oldest first."""
    return ids_of_seals(rclone.names(rclone.crypt(POINTS_DIRECTORY)))


def seals_in(directory: str) -> List[Seal]:
    """The seals among the files of *directory*, oldest first."""
    seals = []
    for identifier in ids_of_seals(os.listdir(directory)):
        with open(os.path.join(directory, f"{identifier}.json"), encoding="utf-8") as stream:
            seals.append(parse_seal(stream.read(), seal_path(identifier)))
    return seals


# What says that a point itself is bad, and not the way to it.
_DAMAGES = (DamagedPointError, RcloneDamaged)


def open_point(
    rclone: Rclone, wanted: str, manifest: str, journal: Journal, *, kept_manifest: str = ""
) -> Seal:
    """The seal of the point that *wanted* means, its manifest downloaded to *manifest*.

    *kept_manifest* may hold it already, from a restore that was interrupted. ``daily`` is the
    newest night whose seal and manifest are whole: a warning names those passed over. Raises
    :class:`DamagedPointError` for a damaged point that was asked for by its time; the hint names
    the one before.
    """
    if os.path.exists(kept_manifest):
        shutil.copyfile(kept_manifest, manifest)
    if wanted.startswith("weekly"):
        try:
            seal = find_point(rclone, wanted)
            _fetch_sealed(rclone, seal, manifest)
        except _DAMAGES as error:
            raise _damaged(wanted, error, "") from error
        return seal
    identifiers = point_ids(rclone)
    chosen = identifiers.index(choose_point(identifiers, wanted))
    while True:
        before = identifiers[chosen - 1] if chosen else ""
        try:
            seal = _read_seal(rclone, identifiers[chosen])
            _fetch_sealed(rclone, seal, manifest)
        except _DAMAGES as error:
            damaged = _damaged(identifiers[chosen], error, before)
            if wanted != "daily" or not before:
                raise damaged from error
            journal.warning(f"{damaged.message}: the night before it, {before}, is taken instead")
            chosen -= 1
        else:
            return seal


def _fetch_sealed(rclone: Rclone, seal: Seal, manifest: str) -> None:
    try:
        fetch_manifest(rclone, seal, manifest)
    except RcloneNotFound as error:
        # Its seal could be read: nothing but the manifest is missing.
        raise DamagedPointError(f"{seal.manifest.path} is gone", "") from error


def _damaged(name: str, error: BackupError, before: str) -> BackupError:
    way = f"The night before it is {before}" if before else "restore-from-b2.sh lists the others"
    return DamagedPointError(
        f"the point {name} is damaged where it is stored ({error.message})",
        f"{way}. The passwords are right: the names decrypt",
    )


def find_point(rclone: Rclone, wanted: str) -> Seal:
    """The seal of the night that *wanted* means (see :func:`..points.model.choose_point`)."""
    kind, _space, date = wanted.partition(" ")
    if kind == "weekly":
        return find_weekly(rclone, date)
    return _read_seal(rclone, choose_point(point_ids(rclone), wanted))


def _read_seal(rclone: Rclone, identifier: str) -> Seal:
    path = seal_path(identifier)
    try:
        text = rclone.cat(rclone.crypt(path)).decode("utf-8", "replace")
    except RcloneNotFound as error:
        # It was listed a moment ago, and rclone takes a refused look for a file that is not there.
        raise BackupError(
            f"the seal {path} is listed and can't be read",
            "Is the account's download cap reached ('Caps & Alerts'), or may the key "
            "(lepotato_backup_b2_key_id) not read? Otherwise name an earlier point",
        ) from error
    return parse_seal(text, path)


def fetch_manifest(rclone: Rclone, seal: Seal, path: str) -> None:
    """Download the point's manifest to *path*, unless it is there; raises BackupError when it is
    not the one that was sealed."""
    if not os.path.exists(path) or sha256_of(path) != seal.manifest.sha256:
        rclone.copyto(rclone.crypt(seal.manifest.path), path)
    check_sealed(path, seal)


def check_sealed(path: str, seal: Seal) -> None:
    """Raise :class:`BackupError` unless the file at *path* is the manifest that was sealed."""
    if sha256_of(path) != seal.manifest.sha256:
        raise DamagedPointError(
            f"{seal.manifest.path} in the bucket is not what {seal.id} was sealed with",
            "Choose an earlier restore point; restore-from-b2.sh alone lists them",
        )
