# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small objects beside the data, ``points/`` and ``manifests/``, found and hidden one by one.

rclone takes three calls to find a file and three to hide one. B2 needs one for each, and rclone
tells the encrypted names without asking anybody.
"""

from __future__ import annotations

from typing import List, Protocol, Sequence

from ..b2.api import B2Client
from ..b2.errors import B2Error
from ..bucket.layout import POINTS_DIRECTORY, Amount
from ..rclone.commands import Rclone
from ..rclone.conf import RemoteConf

# https://rclone.org/crypt/#file-formats: a header, and a tag for each block of the content.
CRYPT_HEADER_BYTES = 32
CRYPT_BLOCK_BYTES = 64 * 1024
CRYPT_TAG_BYTES = 16

# B2 says so when the file is hidden already, or was never there: that is what was wanted.
_GONE_CODES = ("already_hidden", "no_such_file", "file_not_present", "not_found")


def encrypted_bytes(plain_bytes: int) -> int:
    """The size in the bucket of a file of *plain_bytes*."""
    blocks = -(-plain_bytes // CRYPT_BLOCK_BYTES)
    return CRYPT_HEADER_BYTES + plain_bytes + blocks * CRYPT_TAG_BYTES


def encrypted_amount(amount: Amount) -> int:
    """About the size in the bucket of *amount*; off by 16 bytes a file at most."""
    blocks = amount.files + amount.bytes // CRYPT_BLOCK_BYTES
    return amount.bytes + amount.files * CRYPT_HEADER_BYTES + blocks * CRYPT_TAG_BYTES


class Store(Protocol):
    """What keeps the small objects, of the bucket or of the second destination."""

    def points(self) -> List[str]:
        """The names of all objects of restore points."""

    def holds(self, path: str, plain_bytes: int) -> bool:
        """Whether the object at *path* is there with that size."""

    def hide(self, paths: Sequence[str]) -> List[str]:
        """Let the objects at *paths* go; what is gone is no error."""


class PointStore:
    """Finds and hides single objects of a host's folder in the bucket."""

    def __init__(self, rclone: Rclone, client: B2Client, remote: RemoteConf) -> None:
        self._rclone = rclone
        self._client = client
        self._remote = remote

    def points(self) -> List[str]:
        """The names of all objects of restore points; none with other passwords than theirs."""
        return self._rclone.names(self._rclone.crypt(POINTS_DIRECTORY))

    def holds(self, path: str, plain_bytes: int) -> bool:
        """Whether the newest version of the object at *path* is there with that size."""
        name = self._remote.folder + self._rclone.encrypted_names([path])[path]
        found = self._client.list_file_names(self._remote.bucket, name, count_max=1)
        return any(
            (file.name, file.bytes) == (name, encrypted_bytes(plain_bytes)) for file in found
        )

    def hide(self, paths: Sequence[str]) -> List[str]:
        """Hide the objects at *paths* (below the crypt remote); what is gone is no error."""
        hidden = []
        for path, name in self._rclone.encrypted_names(paths).items():
            try:
                self._client.hide_file(self._remote.bucket, self._remote.folder + name)
                hidden.append(path)
            except B2Error as error:
                if error.code not in _GONE_CODES:
                    raise
        return hidden
