# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From staging to a sealed night: upload what the manifest names, count it, write the seal.

The seal is the last object of a night. Before it is written the bucket is asked how many
objects and bytes it holds, and unfinished large uploads are cancelled: they would hide good
versions from the point-in-time reads that a restore makes.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, Optional

from .b2_api import B2Client
from .config import Config
from .errors import BackupError
from .files import write_atomically
from .journal import Journal
from .manifest import FILE, content_path, to_text
from .manifest_file import read_entries
from .rclone import Rclone, write_file_list
from .rclone_log import RcloneResult, TransferStats
from .restore_points import (
    DAILY_DIRECTORY,
    Amount,
    ManifestReference,
    Seal,
    manifest_path,
    parse_seal,
    rfc3339,
    seal_path,
)
from .state_files import StateFiles

HASH_CHUNK_BYTES = 1 << 20

# The HTTP Date header has whole seconds, so B2's clock may be up to one second further.
DATE_RESOLUTION_SECONDS = 1.0


@dataclass(frozen=True)
class UploadPlan:
    """What the bucket holds below ``daily/`` when the night is done, and what was captured."""

    upload: Amount
    trees: Dict[str, Amount]


def plan_upload(manifest: str, list_path: str) -> UploadPlan:
    """Write the list of paths that travel and count them; one pass over the manifest."""
    sent = _Counter()
    trees: Dict[str, _Counter] = {}

    def travelling() -> Iterator[bytes]:
        for entry in read_entries(manifest):
            if entry.type != FILE:
                continue
            tree = to_text(entry.path.split(b"/", 1)[0])
            trees.setdefault(tree, _Counter()).add(entry.size)
            if entry.link is None:
                sent.add(entry.size)
                yield content_path(entry)

    write_file_list(list_path, travelling())
    return UploadPlan(sent.amount, {tree: counter.amount for tree, counter in trees.items()})


def upload_staging(
    config: Config,
    rclone: Rclone,
    plan: UploadPlan,
    list_path: str,
    on_progress: Optional[Callable[[TransferStats], None]] = None,
) -> RcloneResult:
    """Make ``daily/`` in the bucket hold exactly the planned files.

    What an interrupted night already sent is not sent again. Raises
    :class:`.rclone_log.RcloneError`, or :class:`BackupError` when there is nothing to hold.
    """
    if not plan.upload.files:
        raise BackupError(
            "staging holds no file at all",
            "The sources must have been empty: nothing was changed in the bucket",
        )
    return rclone.sync(
        config.paths.daily,
        rclone.crypt(DAILY_DIRECTORY),
        files_from=list_path,
        on_progress=on_progress,
    )


def check_count(rclone: Rclone, expected: Amount) -> None:
    """Raise :class:`BackupError` unless ``daily/`` in the bucket holds *expected*."""
    found = rclone.size(rclone.crypt(DAILY_DIRECTORY))
    if (found.files, found.bytes) != (expected.files, expected.bytes):
        raise BackupError(
            f"the bucket holds {found.files} files of {found.bytes} bytes below daily/ and not "
            f"{expected.files} of {expected.bytes}: the night is not sealed",
            "The next night sends what is missing; when it happens again, check whether "
            "another host writes to the same lepotato_backup_host_prefix",
        )


def seal_night(
    config: Config,
    rclone: Rclone,
    client: B2Client,
    journal: Journal,
    plan: UploadPlan,
    identifier: str,
    started_epoch_seconds: float,
) -> Seal:
    """Send the manifest, then the seal, and read the seal back.

    Returns after B2's clock has passed the seal's ``version_at``, so that nothing the next run
    uploads can belong to this night.
    """
    state = StateFiles(config.paths.state)
    cancel_unfinished(config, client, journal)
    remote_manifest = manifest_path(identifier)
    rclone.copyto(state.manifest, rclone.crypt(remote_manifest))
    skew_seconds = client.authorize().clock_skew_seconds or 0.0
    version_at = math.ceil(time.time() + skew_seconds + DATE_RESOLUTION_SECONDS)
    seal = Seal(
        id=identifier,
        host=config.host,
        started_at=rfc3339(started_epoch_seconds),
        sealed_at=rfc3339(time.time()),
        version_at=rfc3339(version_at),
        manifest=ManifestReference(
            remote_manifest, sha256_of(state.manifest), os.path.getsize(state.manifest)
        ),
        trees=plan.trees,
        upload=plan.upload,
    )
    data = seal.to_json().encode("utf-8")
    remote_seal = rclone.crypt(seal_path(identifier))
    rclone.rcat(data, remote_seal)
    if parse_seal(rclone.cat(remote_seal).decode("utf-8"), remote_seal) != seal:
        raise BackupError(
            f"{remote_seal} does not read back as it was written",
            "Run backup-to-b2.sh again; when it happens again, check memory and disk of this host",
        )
    write_atomically(state.last_seal, data)
    time.sleep(max(0.0, version_at - time.time() - skew_seconds))
    return seal


def cancel_unfinished(config: Config, client: B2Client, journal: Journal) -> None:
    """Cancel the large uploads that a killed run left unfinished."""
    cancelled = client.cancel_unfinished(config.bucket, f"{config.host_prefix}/")
    if cancelled:
        journal.info(f"cancelled {len(cancelled)} unfinished uploads of an interrupted run")


def sha256_of(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(HASH_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


class _Counter:
    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0

    def add(self, size_bytes: int) -> None:
        self.files += 1
        self.bytes += size_bytes

    @property
    def amount(self) -> Amount:
        return Amount(self.files, self.bytes)
