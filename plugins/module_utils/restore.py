# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a sealed night into a directory: the bytes from the bucket, the rest from the manifest.

Nothing outside the target is touched. Every file's SHA-256 is checked; a damaged or missing one
is fetched once more, and a restore that is not whole in the end is an error that names what is
missing. A restore that was interrupted goes on when it is started again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Callable, List, Optional

from .errors import BackupError
from .files import write_atomically
from .journal import Journal
from .manifest_apply import ApplyResult, apply_manifest
from .manifest_carrier import iter_download_paths
from .progress import human_bytes
from .rclone import Rclone, write_file_list
from .rclone_log import TransferStats
from .restore_points import (
    DAILY_DIRECTORY,
    POINTS_DIRECTORY,
    Seal,
    choose_point,
    ids_of_seals,
    parse_seal,
    seal_path,
)
from .upload import sha256_of

# Kept in the target while a restore is under way: what is restored, and how to go on.
WORK_DIRECTORY = ".lepotato-restore"
_SEAL_NAME = "seal.json"
_MANIFEST_NAME = "manifest.jsonl.gz"
_LIST_NAME = "download.list"

# A damaged download is fetched once more; what is wrong in the bucket stays wrong.
ATTEMPTS = 2

PROBLEMS_TOLD = 10


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did. *attempts* counts downloads; 1 means that all was right at once."""

    seal: Seal
    target: str
    applied: ApplyResult
    attempts: int


def point_ids(rclone: Rclone) -> List[str]:
    """The sealed nights in the bucket, oldest first."""
    return ids_of_seals(rclone.names(rclone.crypt(POINTS_DIRECTORY)))


def read_seals(rclone: Rclone) -> List[Seal]:
    """Every seal in the bucket, oldest first; downloads one small object a night."""
    with tempfile.TemporaryDirectory(prefix="lepotato-backup-") as directory:
        rclone.copy(rclone.crypt(POINTS_DIRECTORY), directory)
        seals = []
        for identifier in ids_of_seals(os.listdir(directory)):
            with open(os.path.join(directory, f"{identifier}.json"), encoding="utf-8") as stream:
                seals.append(parse_seal(stream.read(), seal_path(identifier)))
    return seals


def find_point(rclone: Rclone, wanted: str) -> Seal:
    """The seal of the night that *wanted* means (see :func:`.restore_points.choose_point`)."""
    path = seal_path(choose_point(point_ids(rclone), wanted))
    return parse_seal(rclone.cat(rclone.crypt(path)).decode("utf-8"), path)


def check_target(target: str, seal: Seal) -> bool:
    """Whether an interrupted restore of the same night goes on in *target*.

    Raises :class:`BackupError` when *target* holds anything else, or lies on too small a disk.
    """
    names = os.listdir(target) if os.path.isdir(target) else []
    resumes = WORK_DIRECTORY in names
    if names and not resumes:
        raise BackupError(
            f"the target {target} is not empty ({', '.join(sorted(names)[:3])})",
            "Name a directory that is empty or does not exist yet",
        )
    if resumes:
        path = os.path.join(target, WORK_DIRECTORY, _SEAL_NAME)
        with open(path, encoding="utf-8") as stream:
            other = parse_seal(stream.read(), path)
        if other.id != seal.id:
            raise BackupError(
                f"the target {target} holds an unfinished restore of {other.id}, not {seal.id}",
                f"Go on with {other.id}, or name another directory",
            )
        return True
    free_bytes = free_bytes_at(target)
    if seal.upload.bytes > free_bytes:
        raise BackupError(
            f"{seal.id} needs {human_bytes(seal.upload.bytes)} and at {target} only "
            f"{human_bytes(free_bytes)} are free",
            "Name a directory on a larger disk",
        )
    return False


def free_bytes_at(path: str) -> int:
    """What may still be written on the file system that holds *path* or its nearest parent."""
    while not os.path.exists(path):
        path = os.path.dirname(os.path.abspath(path))
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def restore_point(
    rclone: Rclone,
    journal: Journal,
    seal: Seal,
    target: str,
    on_progress: Optional[Callable[[TransferStats], None]] = None,
) -> RestoreResult:
    """Restore *seal* into *target*, which :func:`check_target` accepted.

    Raises :class:`BackupError` when something is missing or damaged after the last attempt; the
    target is then left for a look, and for another try.
    """
    work = os.path.join(target, WORK_DIRECTORY)
    os.makedirs(work, mode=0o700, exist_ok=True)
    os.chmod(target, 0o700)
    write_atomically(os.path.join(work, _SEAL_NAME), seal.to_json().encode("utf-8"))
    manifest = _fetch_manifest(rclone, seal, work)
    download_list = os.path.join(work, _LIST_NAME)
    write_file_list(download_list, iter_download_paths(manifest))
    applied: Optional[ApplyResult] = None
    for attempt in range(1, ATTEMPTS + 1):
        journal.step("download")
        rclone.copy(
            rclone.crypt(DAILY_DIRECTORY),
            target,
            version_at=seal.version_at,
            files_from=download_list,
            on_progress=on_progress,
        )
        journal.step("apply")
        applied = apply_manifest(manifest, target, remove_damaged=attempt < ATTEMPTS)
        if applied.is_complete:
            shutil.rmtree(work)
            return RestoreResult(seal, target, applied, attempt)
        journal.info(f"{applied.problems_total} files missing or damaged after attempt {attempt}")
    assert applied is not None
    raise _incomplete(seal, target, applied)


def _fetch_manifest(rclone: Rclone, seal: Seal, work: str) -> str:
    path = os.path.join(work, _MANIFEST_NAME)
    if not os.path.exists(path) or sha256_of(path) != seal.manifest.sha256:
        rclone.copyto(rclone.crypt(seal.manifest.path), path)
    if sha256_of(path) != seal.manifest.sha256:
        raise BackupError(
            f"{seal.manifest.path} in the bucket is not what {seal.id} was sealed with",
            "Choose an earlier restore point; restore-from-b2.sh alone lists them",
        )
    return path


def _incomplete(seal: Seal, target: str, applied: ApplyResult) -> BackupError:
    told = "; ".join(
        f"{os.fsdecode(issue.path)}: {issue.reason}" for issue in applied.problems[:PROBLEMS_TOLD]
    )
    return BackupError(
        f"{seal.id} is not whole in {target}: {applied.problems_total} entries are missing or "
        f"damaged ({told})",
        "What was restored is there and right. Try an earlier restore point for the rest; "
        "restore-from-b2.sh alone lists them",
    )
