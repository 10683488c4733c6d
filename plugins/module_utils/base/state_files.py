# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the program keeps its state on the Potato: names, and nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class StateFiles:
    """The files below the state directory."""

    directory: str

    @property
    def lock(self) -> str:
        """Held by the run that is under way."""
        return os.path.join(self.directory, "run.lock")

    @property
    def manifest(self) -> str:
        """The manifest of what is in staging; the next night reads only what changed since."""
        return os.path.join(self.directory, "manifest.jsonl.gz")

    @property
    def link_windows(self) -> str:
        """When our own hard links changed the ctimes of staged files."""
        return os.path.join(self.directory, "link_windows.json")

    @property
    def upload_list(self) -> str:
        """The paths that travel tonight."""
        return os.path.join(self.directory, "upload.list")

    @property
    def hide_list(self) -> str:
        """The paths that are hidden in the bucket tonight."""
        return os.path.join(self.directory, "hide.list")

    @property
    def bucket_list(self) -> str:
        """What the bucket holds, listed when the whole of it is compared."""
        return os.path.join(self.directory, "bucket.list")

    @property
    def bucket(self) -> str:
        """Whether the bucket holds what ``uploaded`` says (see :mod:`..bucket.known_state`)."""
        return os.path.join(self.directory, "bucket.json")

    @property
    def uploaded(self) -> str:
        """The manifest of the last sealed night."""
        return os.path.join(self.directory, "uploaded.jsonl.gz")

    @property
    def last_seal(self) -> str:
        """The newest seal this host wrote."""
        return os.path.join(self.directory, "last_seal.json")

    @property
    def cost(self) -> str:
        """What the bucket costs (see :mod:`..cost.ledger`)."""
        return os.path.join(self.directory, "cost.json")

    @property
    def verified(self) -> str:
        """When each point was last verified (see :mod:`..points.verified`)."""
        return os.path.join(self.directory, "verified.json")

    @property
    def disks(self) -> str:
        """Which disks the SSD and the sources lie on (see :mod:`..staging.disk_guard`)."""
        return os.path.join(self.directory, "disks.json")

    @property
    def second(self) -> str:
        """The newest point of the second destination (see :mod:`..second.nightly_copy`)."""
        return os.path.join(self.directory, "second.json")

    @property
    def second_manifest(self) -> str:
        """The manifest of that point; read again only when it is another one there."""
        return os.path.join(self.directory, "second.jsonl.gz")

    @property
    def second_list(self) -> str:
        """The paths that one rclone command moves to the second destination, or aside there."""
        return os.path.join(self.directory, "second.list")

    @property
    def second_listing(self) -> str:
        """What lies there, when all of it is compared."""
        return os.path.join(self.directory, "second_listing.csv")
