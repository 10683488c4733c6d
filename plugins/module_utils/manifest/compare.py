# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a manifest with another one or with a tree, in one merge of two streams."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from .file import check_manifest, read_entries
from .model import SOCKET, SYMLINK, AnyPath, Entry, Select, merged
from .walk import walk_entries

LISTED_MAX = 100

MISSING = "missing"
EXTRA = "extra"
CHANGED = "changed"
# The tree could not be read there, or changed meanwhile (only compare_tree).
UNREADABLE = "unreadable"


class Difference(NamedTuple):
    """*what* is one of the constants above; *aspects* names what changed (``mode``, ``content``)
    or says why something is unreadable."""

    path: bytes
    what: str
    aspects: Tuple[str, ...] = ()


class CompareResult(NamedTuple):
    """Counts by kind of difference and the first :data:`LISTED_MAX` differences."""

    entries: int
    missing: int
    extra: int
    changed: int
    unreadable: int
    differences: Tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        return not (self.missing or self.extra or self.changed or self.unreadable)


def differences(expected: Iterable[Entry], found: Iterable[Entry]) -> Iterator[Difference]:
    """What makes *found* differ from *expected*, both in the manifest's order.

    Sockets, inodes, ctimes, holes and carriers are no differences. Content is compared where
    both sides have a SHA-256.
    """
    for one, other in merged(_without_sockets(expected), _without_sockets(found)):
        if one is not None and other is not None:
            aspects = changed_aspects(one, other)
            if aspects:
                yield Difference(one.path, CHANGED, aspects)
        elif one is not None:
            yield Difference(one.path, MISSING)
        elif other is not None:
            yield Difference(other.path, EXTRA)


def changed_aspects(expected: Entry, found: Entry) -> Tuple[str, ...]:
    """In what two entries with one path differ, in words; empty when they are equal."""
    if expected.type != found.type:
        return ("type",)
    pairs = {
        # A symlink's permission bits mean nothing on Linux and can't be set.
        "mode": expected.type == SYMLINK or expected.mode == found.mode,
        "owner": (expected.uid, expected.gid) == (found.uid, found.gid),
        "mtime": expected.mtime_ns == found.mtime_ns,
        "size": expected.size == found.size,
        "content": expected.sha256 == found.sha256 or not (expected.sha256 and found.sha256),
        "target": expected.target == found.target,
        "device": expected.device == found.device,
        "links": expected.link == found.link,
        "xattrs": expected.xattrs == found.xattrs,
    }
    return tuple(name for name, is_equal in pairs.items() if not is_equal)


def entries_below(entries: Iterable[Entry], prefix: bytes) -> Iterator[Entry]:
    """The entries below the directory *prefix*, with paths relative to it.

    A hard-link group whose leader lies outside is led by its first name inside; the groups that
    reach across the border are the only thing held.
    """
    if not prefix:
        yield from entries
        return
    start = prefix.strip(b"/") + b"/"
    new_leaders: Dict[bytes, bytes] = {}
    for entry in entries:
        if not entry.path.startswith(start):
            continue
        path, link = entry.path[len(start) :], entry.link
        if link is not None and link.startswith(start):
            link = link[len(start) :]
        elif link is not None:
            leader = new_leaders.setdefault(link, path)
            link = None if leader == path else leader
        yield entry._replace(path=path, link=link)


def compare_tree(
    manifest: AnyPath,
    root: AnyPath,
    *,
    prefix: bytes = b"",
    select: Optional[Select] = None,
    read_content: bool = True,
    on_difference: Optional[Callable[[Difference], None]] = None,
) -> CompareResult:
    """How the tree at *root* differs from what *manifest* has below *prefix*; changes nothing.

    *select* (paths relative to *prefix*) limits both sides. Without *read_content* a file is
    equal when size and mtime are. *on_difference* hears of every difference, beyond those that
    are listed. Raises :class:`ManifestError` for a damaged manifest.
    """
    check_manifest(manifest)
    counts = {MISSING: 0, EXTRA: 0, CHANGED: 0, UNREADABLE: 0}
    listed: List[Difference] = []
    entries = 0

    def report(difference: Difference) -> None:
        counts[difference.what] += 1
        if len(listed) < LISTED_MAX:
            listed.append(difference)
        if on_difference is not None:
            on_difference(difference)

    def counted() -> Iterator[Entry]:
        nonlocal entries
        for entry in entries_below(read_entries(manifest), prefix):
            if select is None or select(entry.path):
                entries += 1
                yield entry

    found = walk_entries(
        root,
        read_content=read_content,
        on_problem=lambda path, reason: report(Difference(path, UNREADABLE, (reason,))),
    )
    selected = (entry for entry in found if select is None or select(entry.path))
    for difference in differences(counted(), selected):
        report(difference)
    return CompareResult(
        entries=entries,
        missing=counts[MISSING],
        extra=counts[EXTRA],
        changed=counts[CHANGED],
        unreadable=counts[UNREADABLE],
        differences=tuple(listed),
    )


def _without_sockets(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.type != SOCKET)
