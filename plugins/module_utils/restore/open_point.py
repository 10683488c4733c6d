# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the point that a person means, and its manifest; a damaged one has a way to the one before."""

from __future__ import annotations

import os
from typing import List

from ..base.errors import BackupError
from ..bucket.layout import POINTS_DIRECTORY
from ..filesystem.sha256 import sha256_of
from ..points.model import Seal, choose_point, ids_of_seals, parse_seal, seal_path
from ..points.weekly_find import find_weekly
from ..rclone.commands import Rclone


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


def find_point(rclone: Rclone, wanted: str) -> Seal:
    """The seal of the night that *wanted* means (see :func:`..points.model.choose_point`)."""
    kind, _space, date = wanted.partition(" ")
    if kind == "weekly":
        return find_weekly(rclone, date)
    path = seal_path(choose_point(point_ids(rclone), wanted))
    return parse_seal(rclone.cat(rclone.crypt(path)).decode("utf-8", "replace"), path)


def fetch_manifest(rclone: Rclone, seal: Seal, path: str) -> None:
    """Download the point's manifest to *path*, unless it is there; raises BackupError when it is
    not the one that was sealed."""
    if not os.path.exists(path) or sha256_of(path) != seal.manifest.sha256:
        rclone.copyto(rclone.crypt(seal.manifest.path), path)
    check_sealed(path, seal)


def check_sealed(path: str, seal: Seal) -> None:
    """Raise :class:`BackupError` unless the file at *path* is the manifest that was sealed."""
    if sha256_of(path) != seal.manifest.sha256:
        raise BackupError(
            f"{seal.manifest.path} in the bucket is not what {seal.id} was sealed with",
            "Choose an earlier restore point; restore-from-b2.sh alone lists them",
        )
