# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a restore point with the live data, changing nothing."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Pattern, Sequence

from ..config.schema import Source
from ..manifest.compare import (
    CHANGED,
    EXTRA,
    MISSING,
    UNREADABLE,
    Difference,
    changed_aspects,
    differences,
    entries_below,
)
from ..manifest.file import read_entries
from ..manifest.model import DIRECTORY, SOCKET, AnyPath, Entry, Select
from ..manifest.walk import describe_path, walk_entries
from .live_paths import is_ours
from .selection import glob_pattern, live_path, outermost


@dataclass(frozen=True)
class LiveDifference:
    """*path* is the live path; see :class:`..manifest.compare.Difference` for the rest."""

    path: str
    difference: Difference

    @property
    def told(self) -> str:
        """The difference as one line."""
        aspects = f" ({', '.join(self.difference.aspects)})" if self.difference.aspects else ""
        return f"{self.difference.what} {self.path}{aspects}"


@dataclass
class LiveComparison:
    """Entries compared and differences counted, by kind."""

    entries: int
    counts: Dict[str, int]

    @property
    def is_equal(self) -> bool:
        """Whether the live data is what the point holds."""
        return not any(self.counts.values())


def compare_live(
    manifest: AnyPath,
    select: Select,
    sources: Sequence[Source],
    ignored: Sequence[str],
    on_difference: Callable[[LiveDifference], None],
) -> LiveComparison:
    """Tell *on_difference* how the live data differs from what *select* accepts of *manifest*.

    Live names that the sources exclude, what restores left aside and the *ignored* paths (staging)
    are no differences, nor is what lies on the host outside all sources.
    """
    comparison = LiveComparison(0, dict.fromkeys((MISSING, EXTRA, CHANGED, UNREADABLE), 0))
    units = [entry.path for entry in outermost(manifest, select, sources)]
    excludes = {source.tree: _excludes(source, ignored) for source in sources}

    def report(path: str, difference: Difference) -> None:
        comparison.counts[difference.what] += 1
        on_difference(LiveDifference(path, difference))

    def counted(entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            comparison.entries += 1
            yield entry

    grouped = itertools.groupby(read_entries(manifest), key=_Pointer(units))
    for unit, entries in grouped:
        if unit:
            tree = os.fsdecode(unit.split(b"/", 1)[0])
            _compare_unit(unit, counted(entries), excludes.get(tree, []), report)
    return comparison


class _Pointer:
    """Says for entries in the manifest's order which unit they belong to; b"" for none."""

    def __init__(self, units: List[bytes]) -> None:
        self._following = iter(units)
        self._here = b""
        self._coming = next(self._following, None)

    def __call__(self, entry: Entry) -> bytes:
        if entry.path == self._coming:
            self._here, self._coming = self._coming, next(self._following, None)
        if self._here and (entry.path + b"/").startswith(self._here + b"/"):
            return self._here
        return b""


def _compare_unit(
    unit: bytes,
    entries: Iterator[Entry],
    excludes: List[Pattern[str]],
    report: Callable[[str, Difference], None],
) -> None:
    live = live_path(unit)
    top = next(entries)
    if top.type == DIRECTORY and os.path.isdir(live):
        # A source may be a link to a directory.
        live = os.path.realpath(live)
    found = describe_path(live)
    if found is None or top.type != found.type:
        if top.type != SOCKET:
            what = MISSING if found is None else CHANGED
            report(live, Difference(unit, what, () if found is None else ("type",)))
        for _entry in entries:
            # They are missing with it: one line says so.
            continue
        return
    aspects = [aspect for aspect in changed_aspects(top, found) if aspect != "links"]
    if aspects:
        report(live, Difference(unit, CHANGED, tuple(aspects)))
    if top.type != DIRECTORY:
        return
    walked = walk_entries(
        live,
        on_problem=lambda path, reason: report(
            os.path.join(live, os.fsdecode(path)), Difference(path, UNREADABLE, (reason,))
        ),
    )
    kept = (entry for entry in walked if not _is_left_out(live, entry.path, excludes))
    for difference in differences(entries_below(entries, unit), kept):
        report(os.path.join(live, os.fsdecode(difference.path)), difference)


def _is_left_out(live: str, path: bytes, excludes: List[Pattern[str]]) -> bool:
    relative = os.fsdecode(path)
    if any(is_ours(name) for name in relative.split("/")):
        return True
    full = os.path.join(live, relative)
    return any(pattern.fullmatch(full) for pattern in excludes)


def _excludes(source: Source, ignored: Sequence[str]) -> List[Pattern[str]]:
    """The source's exclude patterns as rsync means them, over full paths and what is below."""
    patterns = [re.escape(path) for path in ignored]
    for pattern in source.exclude:
        translated = glob_pattern(pattern.rstrip("/").encode("utf-8")).decode("utf-8")
        patterns.append(translated if pattern.startswith("/") else rf".*/{translated}")
    return [re.compile(rf"(?:{pattern})(?:/.*)?", re.DOTALL) for pattern in patterns]
