# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bytes a host stores in its bucket, by what they are kept for.

B2 bills every version of every file. Only a listing of the versions tells them all: one class C
call for every 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from ..b2.api import B2Client, FileVersion
from ..bucket.layout import WEEKLY_DIRECTORY
from ..rclone.commands import Rclone
from ..rclone.conf import RemoteConf

_UPLOAD = "upload"
_HIDE = "hide"


@dataclass(frozen=True)
class Stored:
    """Bytes in the bucket, encrypted as they are billed.

    *current* is the newest night with all manifests and points, *copies* are the objects of weekly
    points in copy mode, *history* is what was replaced or hidden and is kept by the lifecycle
    rule. *versions* counts all entries, hide markers included.
    """

    current: int
    history: int
    copies: int
    versions: int = 0

    @property
    def total(self) -> int:
        """All that is billed."""
        return self.current + self.history + self.copies


def count_stored(client: B2Client, remote: RemoteConf, rclone: Rclone) -> Stored:
    """List every version below the host's folder; memory does not grow with their number."""
    encrypted = rclone.encrypted_names([WEEKLY_DIRECTORY])[WEEKLY_DIRECTORY]
    versions = client.list_file_versions(remote.bucket, remote.folder)
    return sum_versions(versions, f"{remote.folder}{encrypted}/")


def sum_versions(versions: Iterable[FileVersion], copies_folder: str) -> Stored:
    """Add up *versions*, which come by name and of each name the newest first.

    An unfinished large file hides nothing and its bytes are not told: it is passed over.
    """
    current = history = copies = count = 0
    name = ""
    is_newest = True
    for version in versions:
        count += 1
        if version.name != name:
            name, is_newest = version.name, True
        if version.action == _UPLOAD:
            if not is_newest:
                history += version.bytes
            elif name.startswith(copies_folder):
                copies += version.bytes
            else:
                current += version.bytes
        if version.action in (_UPLOAD, _HIDE):
            is_newest = False
    return Stored(current, history, copies, count)
