# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host knows of ``daily/`` in its bucket, so that a night need not list it.

``STATE/uploaded.jsonl.gz`` is the manifest of the last sealed night and ``STATE/bucket.json``
says whether the bucket still holds exactly that. The note is withdrawn before an upload changes
anything and made again at the seal: whatever ends a night in between, the next one compares the
whole bucket. So does a night whose note is missing, damaged, or about another bucket or prefix.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Optional

from ..base.state_files import StateFiles
from ..filesystem.atomic_write import sync_directory, write_json_atomically
from ..filesystem.sha256 import sha256_of

_LINK_SUFFIX = ".new"


@dataclass(frozen=True)
class Held:
    """The bucket holds what *manifest* (a file) says, and all of it was last compared then."""

    manifest: str
    reconciled_epoch_seconds: float


class BucketState:
    """The note about one *remote* (a text that tells endpoint, bucket and prefix)."""

    def __init__(self, state: StateFiles, remote: str) -> None:
        self._state = state
        self._remote = remote

    def held(self) -> Optional[Held]:
        """What the bucket is known to hold; None when nobody knows."""
        try:
            with open(self._state.bucket, encoding="utf-8") as stream:
                raw = json.load(stream)
            if not raw["clean"] or raw["remote"] != self._remote:
                return None
            if sha256_of(self._state.uploaded) != raw["manifest_sha256"]:
                return None
            return Held(self._state.uploaded, float(raw["reconciled_epoch_seconds"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def changing(self) -> None:
        """From now on nobody knows: something is about to be sent or hidden."""
        write_json_atomically(self._state.bucket, {"clean": False, "remote": self._remote})

    def sealed(self, reconciled_epoch_seconds: float) -> None:
        """The bucket holds what the manifest of tonight says."""
        temporary = self._state.uploaded + _LINK_SUFFIX
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        # A manifest is never written in place, so a second name keeps it and costs no bytes.
        os.link(self._state.manifest, temporary)
        os.rename(temporary, self._state.uploaded)
        # rename() does nothing when both are the same file already.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        sync_directory(self._state.directory)
        note = {
            "clean": True,
            "remote": self._remote,
            "manifest_sha256": sha256_of(self._state.uploaded),
            "reconciled_epoch_seconds": reconciled_epoch_seconds,
        }
        write_json_atomically(self._state.bucket, note)
