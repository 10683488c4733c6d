# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a sealed night, or a part of it, into a directory: the bytes from the bucket, the rest
from the manifest.

Nothing outside the target is touched. Every file's SHA-256 is checked; a damaged or missing one
is fetched once more, and a restore that is not whole in the end is an error that names what is
missing. A restore that was interrupted goes on when it is started again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.paths import free_bytes_at, is_below, nearest_existing
from ..base.printable import printable
from ..base.progress import TransferStats, human_bytes
from ..filesystem.atomic_write import write_atomically
from ..manifest.apply import ApplyProgress, ApplyResult, Issue, apply_manifest
from ..manifest.model import Select
from ..manifest.travelling import iter_download_paths
from ..points.model import Seal, parse_seal
from ..rclone.commands import Rclone
from ..rclone.log import (
    RcloneCapExceeded,
    RcloneDamaged,
    RcloneError,
    RcloneNetwork,
    RcloneNoSpace,
    RcloneNotFound,
    RcloneStalled,
    RcloneUnauthorized,
)
from ..rclone.name_lists import write_file_list
from .selection import Selected, Wish

# Kept in the target while a restore is under way: what is restored, and how to go on.
WORK_DIRECTORY = ".lepotato-restore"
_SEAL_NAME = "seal.json"
_WISH_NAME = "wish.json"
_MANIFEST_NAME = "manifest.jsonl.gz"
_LIST_NAME = "download.list"

# A damaged download is fetched once more; what is wrong in the bucket stays wrong.
ATTEMPTS = 2

# So many files are looked up one by one, which costs a call or two each; for more of them their
# directories are listed, and for a whole point the bucket, at 1,000 names a call.
LOOKED_UP_FILES_MAX = 100

# rclone 1.60 looks up the newest version of a file instead of the one at the time. Those in between
# were not tried, and listing is right with any.
LOOKS_UP_VERSIONS_FROM = (1, 75)

PROBLEMS_TOLD = 10


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did. *attempts* counts downloads; 1 means that all was right at once."""

    seal: Seal
    target: str
    applied: ApplyResult
    attempts: int


@dataclass(frozen=True)
class Watchers:
    """Who is told how far a restore is: its transfer, and the check of what came."""

    transfer: Optional[Callable[[TransferStats], None]] = None
    apply: Optional[Callable[[ApplyProgress], None]] = None


@dataclass(frozen=True)
class Wanted:
    """What a download brings to *target*: the *count* files of *seal* that the file *files_from*
    names; *is_whole*: these are all of it."""

    seal: Seal
    target: str
    files_from: str
    count: int
    is_whole: bool
    on_progress: Optional[Callable[[TransferStats], None]] = None

    @property
    def no_traverse(self) -> bool:
        """Whether it is better to look the files up one by one."""
        return not self.is_whole and self.count <= LOOKED_UP_FILES_MAX


Download = Callable[[Wanted], None]


def download_version(rclone: Rclone) -> Download:
    """Downloads from the bucket as it was when the point was sealed."""

    def download(wanted: Wanted) -> None:
        rclone.copy(
            rclone.crypt(wanted.seal.data),
            wanted.target,
            version_at=wanted.seal.version_at,
            files_from=wanted.files_from,
            no_traverse=wanted.no_traverse and looks_up_versions(rclone),
            fast_list=wanted.is_whole,
            on_progress=wanted.on_progress,
        )

    return download


def looks_up_versions(rclone: Rclone) -> bool:
    """Whether rclone, with ``--no-traverse``, finds a file as it was at a time."""
    told = rclone.runner.run([rclone.config.binary, "version"]).stdout
    found = re.match(r"rclone v(\d+)\.(\d+)", told)
    return found is not None and (int(found[1]), int(found[2])) >= LOOKS_UP_VERSIONS_FROM


def check_target(target: str, seal: Seal, wish: Wish) -> bool:
    """Whether an interrupted restore of the same selection goes on in *target*.

    Raises :class:`BackupError` when *target* holds anything else.
    """
    names = os.listdir(target) if os.path.isdir(target) else []
    if os.path.lexists(target) and not os.path.isdir(target):
        raise BackupError(
            f"the target {target} is no directory",
            "Name a directory that is empty or does not exist yet",
        )
    if WORK_DIRECTORY not in names:
        if names:
            raise BackupError(
                f"the target {target} is not empty ({', '.join(sorted(names)[:3])})",
                "Name a directory that is empty or does not exist yet",
            )
        return False
    work = os.path.join(target, WORK_DIRECTORY)
    if not os.path.exists(os.path.join(work, _WISH_NAME)):
        # It ended before anything was fetched.
        return False
    with open(os.path.join(work, _SEAL_NAME), encoding="utf-8") as stream:
        other = parse_seal(stream.read(), stream.name)
    if other.id != seal.id:
        raise BackupError(
            f"the target {target} holds an unfinished restore of {other.id}, not {seal.id}",
            f"Go on with {other.id}, or name another directory",
        )
    with open(os.path.join(work, _WISH_NAME), encoding="utf-8") as stream:
        before: Dict[str, Any] = json.load(stream)
    if before != wish.to_json():
        raise BackupError(
            f"the target {target} holds an unfinished restore of another part of {seal.id}",
            "Go on with the same selection, or name another directory",
        )
    return True


def check_place(target: str, staging: str) -> None:
    """Raise :class:`BackupError` when *target* can't be made, or lies where a night would remove
    it: in *staging*."""
    above = nearest_existing(target)
    if not os.path.isdir(above):
        raise BackupError(f"{above}, above the target, is no directory", "Name another target")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BackupError(
            f"{above} can't be written", "Run as root, or name a directory on another disk"
        )
    if is_below(os.path.realpath(target), os.path.realpath(staging)):
        raise BackupError(
            f"the target {target} lies in the staging directory {staging}, which nights tidy",
            "Name a directory beside it",
        )


def check_free(target: str, seal: Seal, selected: Selected) -> None:
    """Raise :class:`BackupError` when *selected* does not fit where *target* lies."""
    free_bytes = free_bytes_at(target)
    if selected.download_bytes > free_bytes:
        raise BackupError(
            f"{seal.id} needs {human_bytes(selected.download_bytes)} and at {target} only "
            f"{human_bytes(free_bytes)} are free",
            "Name a directory on a larger disk, or a part with --tree, --volume or --path",
        )


def restore_point(
    download: Download,
    journal: Journal,
    seal: Seal,
    manifest: str,
    target: str,
    *,
    wish: Wish,
    select: Optional[Select] = None,
    watchers: Optional[Watchers] = None,
    accept_damaged: bool = False,
    earlier: Optional[Callable[[Sequence[bytes]], Mapping[bytes, str]]] = None,
) -> RestoreResult:
    """Restore what *select* accepts of *seal* into *target*, which :func:`check_target` accepted.

    *download* brings the bytes, once more after a damage.
    *manifest* is the point's (:func:`fetch_manifest`); *select* is None for the whole point.
    The work directory stays: :func:`finish_target` removes it. What is good is finished, with
    owners, modes and links, whatever else is damaged. Raises :class:`BackupError` when something
    is missing or damaged after the last attempt, unless that is to be accepted (*accept_damaged*);
    the target is then left for a look, and for another try. *earlier* tells of damaged paths
    which earlier point has them whole.
    """
    watchers = watchers or Watchers()
    kept_manifest, download_list = _begin(seal, manifest, target, wish)
    count = write_file_list(download_list, iter_download_paths(kept_manifest, select))
    attempt = 1
    while True:
        journal.step("download")
        failure = None
        if count:
            try:
                download(
                    Wanted(
                        seal,
                        target,
                        download_list,
                        count,
                        is_whole=select is None,
                        on_progress=watchers.transfer,
                    )
                )
            except RcloneError as error:
                if not brought_the_rest(error):
                    raise
                failure = error
        journal.step("apply")
        applied = apply_manifest(
            kept_manifest,
            target,
            select=select,
            remove_damaged=attempt < ATTEMPTS,
            finish=attempt == ATTEMPTS,
            on_progress=watchers.apply,
        )
        if applied.is_complete:
            return RestoreResult(seal, target, applied, attempt)
        if attempt == ATTEMPTS:
            if isinstance(failure, RcloneNetwork):
                # What did not come may be whole: nothing is called damaged.
                raise failure
            if accept_damaged:
                return RestoreResult(seal, target, applied, attempt)
            paths = [issue.path for issue in applied.problems[:PROBLEMS_TOLD]]
            raise incomplete(seal, target, applied, earlier(paths) if earlier else {})
        journal.info(f"{applied.problems_total} files missing or damaged after attempt {attempt}")
        attempt += 1


def finish_target(target: str) -> None:
    """Remove what a restore keeps in its target to go on after an interruption."""
    shutil.rmtree(os.path.join(target, WORK_DIRECTORY))


def brought_the_rest(error: RcloneError) -> bool:
    """Whether a download that ended with *error* went on to the other files.

    rclone does so when each of its complaints is about one object. A refused key, a cap and a full
    disk are about all of them; a broken connection may be about any number.
    """
    if isinstance(error, (RcloneCapExceeded, RcloneUnauthorized, RcloneNoSpace, RcloneStalled)):
        return False
    if isinstance(error, (RcloneDamaged, RcloneNotFound)):
        return True
    findings = error.result.errors if error.result is not None else ()
    return bool(findings) and all(finding.name for finding in findings)


def problem_told(issue: Issue, earlier: Mapping[bytes, str]) -> str:
    """A damaged entry in words, with the newest point that has it whole."""
    whole = earlier.get(issue.path)
    return f"{printable(issue.path)}: {issue.reason}" + (f" (whole in {whole})" if whole else "")


def incomplete(
    seal: Seal, target: str, applied: ApplyResult, earlier: Optional[Mapping[bytes, str]] = None
) -> BackupError:
    """What to raise for a tree that is not the tree that was; *earlier* tells of damaged paths
    which point has them whole."""
    shown = applied.problems[:PROBLEMS_TOLD]
    told = "; ".join(problem_told(issue, earlier or {}) for issue in shown)
    more = applied.problems_total - len(shown)
    return BackupError(
        f"{seal.id} is not whole in {target}: {applied.problems_total} of {applied.entries} "
        f"entries are missing or damaged ({told}{f'; and {more} more' if more else ''})",
        "The others were restored and are right. For these try an earlier restore point, with "
        "--path and another --target; restore-from-b2.sh alone lists them",
    )


def _begin(seal: Seal, manifest: str, target: str, wish: Wish) -> Tuple[str, str]:
    """The work directory, with the manifest and room for the list of files in it."""
    work = os.path.join(target, WORK_DIRECTORY)
    os.makedirs(work, mode=0o700, exist_ok=True)
    os.chmod(target, 0o700)
    kept = os.path.join(work, _MANIFEST_NAME)
    if os.path.abspath(manifest) != os.path.abspath(kept):
        shutil.copyfile(manifest, kept)
    write_atomically(os.path.join(work, _SEAL_NAME), seal.to_json().encode("utf-8"))
    told = json.dumps(wish.to_json(), sort_keys=True)
    write_atomically(os.path.join(work, _WISH_NAME), told.encode("utf-8"))
    return kept, os.path.join(work, _LIST_NAME)
