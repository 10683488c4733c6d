# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The swap of a restore in place: renames, their way back, and the journal of both on disk.

The journal is written before the first rename and says in which phase the swap is. Each rename's
state can be read from what exists, so that going back can be repeated from wherever it stopped:
whatever interrupts a swap, the live data is wholly old or wholly new after a recovery.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Tuple

from ..base.errors import BackupError
from ..base.journal import Journal
from ..docker.stopped_set import StoppedEntry
from ..filesystem.atomic_write import sync_directory, write_json_atomically
from ..manifest.metadata import apply_metadata
from ..manifest.model import decode_entry
from .live_paths import REJECTED_PREFIX, Move, Root

FILE_NAME = "swap.json"
FORMAT_VERSION = 1

# Renames are under way: a recovery goes back to the old data.
FORWARD = "forward"
# All renames are done and the containers start: a recovery goes on with the new data.
SWAPPED = "swapped"
# The new data was not good: a recovery goes on going back.
BACK = "back"
# The old data is live; the new data that was not good still has to be put away.
REJECTING = "rejecting"

STEP_SWAP_NOTED = "swap-noted"
STEP_ASIDE = "swap-aside"
STEP_IN = "swap-in"
STEP_SWAPPED = "swap-done"
STEP_BACK = "swap-back"
STEP_BACK_DONE = "swap-back-done"


@dataclass(frozen=True)
class Swap:
    """A swap under way. *stages* are the directories that the new content was made in.

    *entries* are the containers that were stopped for it, *timeouts_seconds* how long each may
    take to stop, by ID.
    """

    id: str
    point: str
    phase: str
    moves: Tuple[Move, ...]
    stages: Tuple[str, ...]
    entries: Tuple[StoppedEntry, ...] = ()
    timeouts_seconds: Tuple[Tuple[str, int], ...] = ()
    roots: Tuple[Root, ...] = ()


class SwapFile:
    """``STATE/swap.json``; every change is on disk on return."""

    def __init__(self, state_directory: str) -> None:
        self.directory = state_directory
        self.path = os.path.join(state_directory, FILE_NAME)

    def read(self) -> Optional[Swap]:
        """The swap under way, None without one; raises :class:`BackupError` when unreadable."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                raw = json.load(stream)
            if raw.pop("version") != FORMAT_VERSION:
                raise ValueError("its version is not known")
            return _swap(raw)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{self.path}, the journal of a restore in place, can't be read: {error}",
                "Look for names with '.lepotato-before-' beside your data, put back what you "
                "miss, then remove the file",
            ) from error

    def write(self, swap: Swap) -> None:
        """Make *swap* what a recovery finds."""
        write_json_atomically(self.path, {"version": FORMAT_VERSION, **dataclasses.asdict(swap)})

    def clear(self) -> None:
        """The swap is over."""
        os.unlink(self.path)
        sync_directory(self.directory)


def go_forward(swap: Swap, journal: Journal) -> None:
    """Move the old content aside and the new one in; on disk on return. Raises OSError."""
    for move in swap.moves:
        if move.aside:
            journal.step(STEP_ASIDE)
            os.rename(move.live, move.aside)
        if move.staged:
            journal.step(STEP_IN)
            if os.path.lexists(move.live):
                raise FileExistsError(f"{move.live} came back while it was replaced")
            os.rename(move.staged, move.live)
    for root in swap.roots:
        _give(root.live, root.after, journal)
    _sync(swap)


def go_back(swap: Swap, journal: Journal) -> None:
    """Put the old content back, from wherever :func:`go_forward` or this stopped."""
    for move in reversed(swap.moves):
        journal.step(STEP_BACK)
        is_old_aside = bool(move.aside) and os.path.lexists(move.aside)
        if move.staged and not os.path.lexists(move.staged):
            if os.path.lexists(move.live):
                os.rename(move.live, move.staged)
        elif (is_old_aside or not move.aside) and os.path.lexists(move.live):
            # Neither old nor new: something (an engine that starts) made it in between.
            stray = f"{move.live}.lepotato-before-{swap.id}-stray"
            os.rename(move.live, stray)
            journal.warning(f"{move.live} was made while it was replaced; it is now {stray}")
        if is_old_aside:
            os.rename(move.aside, move.live)
    for root in swap.roots:
        _give(root.live, root.before, journal)
    _sync(swap)


def reject_stages(swap: Swap) -> Tuple[str, ...]:
    """Give new content that was not good another name, so that nothing goes on with it."""
    rejected = []
    for stage in swap.stages:
        renamed = os.path.join(os.path.dirname(stage), REJECTED_PREFIX + swap.id)
        if os.path.lexists(stage):
            os.rename(stage, renamed)
            sync_directory(os.path.dirname(stage))
        if os.path.lexists(renamed):
            rejected.append(renamed)
    return tuple(rejected)


def _give(live: str, line: str, journal: Journal) -> None:
    """Owner, mode, attributes and times of a directory that is itself not renamed."""
    entry = decode_entry(line.encode("ascii"))
    descriptor = os.open(os.path.dirname(live), os.O_RDONLY | os.O_DIRECTORY)
    try:
        apply_metadata(descriptor, entry, lambda reason: journal.warning(f"{live}: {reason}"))
    finally:
        os.close(descriptor)


def _sync(swap: Swap) -> None:
    paths = [path for move in swap.moves for path in (move.live, move.staged) if path]
    for directory in sorted({os.path.dirname(path) for path in paths}):
        if os.path.isdir(directory):
            sync_directory(directory)


def _swap(raw: Dict[str, Any]) -> Swap:
    return Swap(
        id=raw["id"],
        point=raw["point"],
        phase=raw["phase"],
        moves=tuple(Move(**move) for move in raw["moves"]),
        stages=tuple(raw["stages"]),
        entries=tuple(_entries(raw["entries"])),
        timeouts_seconds=tuple((str(one), int(value)) for one, value in raw["timeouts_seconds"]),
        roots=tuple(Root(**root) for root in raw["roots"]),
    )


def _entries(raw: Iterable[Dict[str, Any]]) -> Iterable[StoppedEntry]:
    return (StoppedEntry(**{**item, "needs": tuple(item["needs"])}) for item in raw)
