# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the rclone binary out of its delivery, check it, and replace the installed one by it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import zipfile
from typing import IO, Callable, NamedTuple, Optional

from ..base.errors import BackupError
from ..filesystem.atomic_write import sync_directory

BINARY_NAME = "rclone"
BINARY_MODE = 0o755
BLOCK_BYTES = 1024 * 1024
ZIP_MAGIC = b"PK\x03\x04"

DOWNLOAD_TRIES = 3
DOWNLOAD_RETRY_SECONDS = 3.0

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Extracted(NamedTuple):
    """A binary that lies ready beside its destination, and its SHA-256."""

    path: str
    sha256: str


def require_sha256(expected: str) -> str:
    """*expected* in lower case; raises :class:`BackupError` when it is no SHA-256."""
    if not _SHA256.fullmatch(expected.lower()):
        raise BackupError(
            f"{expected!r} is not a SHA-256 (64 hexadecimal digits)",
            "Correct rclone_binary_sha256 for this host's architecture",
        )
    return expected.lower()


def file_sha256(path: str) -> Optional[str]:
    """The SHA-256 of a regular file; None when there is none at *path*."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return _copy_hashing(stream, None)


def delivery_sha256(delivery: str) -> str:
    """The SHA-256 of the binary in *delivery*: a zip file that holds it, or the binary itself."""
    with open(delivery, "rb") as raw:
        return _read_delivery(raw, delivery, None)


def extract_binary(delivery: str, destination: str) -> Extracted:
    """Write the binary in *delivery* beside *destination*, synced and executable.

    Raises :class:`BackupError` when the delivery holds no rclone binary.
    """
    directory = os.path.dirname(destination)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{BINARY_NAME}.")
    try:
        with os.fdopen(descriptor, "wb") as target, open(delivery, "rb") as raw:
            sha256 = _read_delivery(raw, delivery, target)
            os.fchmod(target.fileno(), BINARY_MODE)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return Extracted(temporary, sha256)


def require_match(found: str, expected: str, delivery: str) -> None:
    """Raise :class:`BackupError`, naming both sums, when they differ."""
    if found != expected:
        raise BackupError(
            f"the rclone binary from {delivery} has the SHA-256 {found}, but "
            f"rclone_binary_sha256 expects {expected}; what was installed stays",
            "Set rclone_version and rclone_binary_sha256 to one and the same release, or "
            "deliver the release that they name",
        )


def install_binary(delivery: str, delivery_name: str, destination: str, expected: str) -> None:
    """Replace *destination* by the binary in *delivery* with one rename, if its sum is right.

    A process that runs the old binary keeps it. *delivery_name* names the delivery in errors.
    """
    extracted = extract_binary(delivery, destination)
    try:
        require_match(extracted.sha256, expected, delivery_name)
        os.rename(extracted.path, destination)
    except BaseException:
        os.unlink(extracted.path)
        raise
    sync_directory(os.path.dirname(destination))


def download(
    url: str,
    target: str,
    open_url: Callable[[str], IO[bytes]],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch *url* into the file *target*; a passing failure is tried again.

    Raises :class:`BackupError` naming the URL when it stays unreachable.
    """
    for attempt in range(1, DOWNLOAD_TRIES + 1):
        try:
            with open_url(url) as response, open(target, "wb") as stream:
                shutil.copyfileobj(response, stream, BLOCK_BYTES)
            return
        except OSError as error:
            if attempt == DOWNLOAD_TRIES:
                raise BackupError(
                    f"rclone can't be downloaded from {url}: {error}",
                    "Check the host's network and rclone_version, or deliver rclone otherwise: "
                    "rclone_source mirror with rclone_mirror_url, or file with rclone_file",
                ) from error
            sleep(DOWNLOAD_RETRY_SECONDS)


def _read_delivery(raw: IO[bytes], name: str, target: Optional[IO[bytes]]) -> str:
    magic = raw.read(len(ZIP_MAGIC))
    raw.seek(0)
    if magic != ZIP_MAGIC:
        return _copy_hashing(raw, target)
    with zipfile.ZipFile(raw) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and os.path.basename(member.filename) == BINARY_NAME
        ]
        if len(members) != 1:
            raise BackupError(
                f"{name} holds {len(members)} files named {BINARY_NAME}, not one",
                "Deliver a zip file as rclone releases it, or the binary itself",
            )
        with archive.open(members[0]) as member_stream:
            return _copy_hashing(member_stream, target)


def _copy_hashing(source: IO[bytes], target: Optional[IO[bytes]]) -> str:
    summary = hashlib.sha256()
    for block in iter(lambda: source.read(BLOCK_BYTES), b""):
        summary.update(block)
        if target is not None:
            target.write(block)
    return summary.hexdigest()
