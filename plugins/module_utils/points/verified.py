# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When each restore point was last verified: ``STATE/verified.json``.

A seal says that its night was counted then; ``verify`` and ``prune`` count again later. What they
found is kept here by the name of the point. The file is a memory and no proof: without it (on
another machine, or a new board) the time of the seal is what is known.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Dict

from ..base.state_files import StateFiles
from ..config.schema import Config
from ..filesystem.atomic_write import write_json_atomically
from ..rclone.commands import Rclone
from .count import CountMismatch, CountProof, prove_count
from .model import Seal, rfc3339

# How it was verified: the objects and bytes of the point were counted in the bucket.
COUNT = "count"

# More than any retention keeps; an entry is about 100 bytes.
ENTRIES_KEPT = 1000


@dataclass(frozen=True)
class Verification:
    """A point was looked at, at a time (RFC 3339, UTC). *error* says what was wrong; "" nothing."""

    at: str
    how: str = COUNT
    error: str = ""


def read_verified(state: StateFiles) -> Dict[str, Verification]:
    """What is remembered, by the name of the point; a damaged file is nothing remembered."""
    try:
        with open(state.verified, encoding="utf-8") as stream:
            raw = json.load(stream)
        return {point: Verification(**entry) for point, entry in raw.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def note_verified(state: StateFiles, point: str, verification: Verification) -> None:
    """Remember the newest look at *point*."""
    known = {**read_verified(state), point: verification}
    # The names of points are times: the newest stay.
    kept = sorted(known)[-ENTRIES_KEPT:]
    write_json_atomically(state.verified, {one: dataclasses.asdict(known[one]) for one in kept})


def verified_of(seal: Seal, known: Dict[str, Verification]) -> Verification:
    """The newest look at the night *seal*: what is remembered, or its own count at the seal."""
    at_seal = Verification(seal.sealed_at)
    return max(known.get(seal.id, at_seal), at_seal, key=lambda one: one.at)


def prove_and_note(rclone: Rclone, config: Config, now_epoch_seconds: float) -> CountProof:
    """Count the newest night in the bucket and remember the outcome, good or bad.

    Raises what :func:`.count.prove_count` does; a bucket out of reach changes nothing.
    """
    state = StateFiles(config.paths.state)
    try:
        proof = prove_count(rclone, config.paths.state)
    except CountMismatch as error:
        note_verified(
            state, error.point, Verification(rfc3339(now_epoch_seconds), error=error.message)
        )
        raise
    note_verified(state, proof.point, Verification(rfc3339(now_epoch_seconds)))
    return proof
