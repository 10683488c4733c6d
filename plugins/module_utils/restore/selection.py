# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of a restore point a person means: trees, volumes, paths and globs.

Paths of a manifest read ``TREE/full/path``. A wish selects entries and everything below them.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Pattern, Sequence, Set, Tuple

from ..base.errors import BackupError, ConfigError
from ..config.schema import Source
from ..manifest.file import read_entries
from ..manifest.model import FILE, AnyPath, Entry, Select

VOLUMES_TREE = "docker-volumes"
SYSTEM_TREE = "system-config"
DUMPS_TREE = "dumps"

# Where volumes lie when this machine's configuration does not say it: the last part of the
# default source /mnt/ssd/docker/volumes.
_VOLUMES_PARENT = rb"(?:(?!volumes/)[^/]+/)*volumes"

# What makes a board the board that it is, as patterns of live paths (fnmatch).
IDENTITY_PATHS = (
    "/etc/hostname",
    "/etc/hosts",
    "/etc/machine-id",
    "/etc/fstab",
    "/etc/ssh/ssh_host_*",
    "/etc/network",
    "/etc/netplan",
    "/etc/NetworkManager",
    "/etc/systemd/network",
    "/etc/resolv.conf",
)

NAMES_TOLD = 10


@dataclass(frozen=True)
class Wish:
    """What a person asked for; nothing at all means the whole point."""

    trees: Tuple[str, ...] = ()
    volumes: Tuple[str, ...] = ()
    paths: Tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything is meant."""
        return not (self.trees or self.volumes or self.paths)

    def to_json(self) -> Dict[str, List[str]]:
        """The wish as JSON-ready data, for an interrupted restore to compare."""
        return {
            "trees": sorted(self.trees),
            "volumes": sorted(self.volumes),
            "paths": sorted(self.paths),
        }

    def told(self) -> str:
        """The wish for a person."""
        if self.is_whole:
            return "everything"
        parts = [f"tree {tree}" for tree in self.trees]
        parts += [f"volume {volume}" for volume in self.volumes]
        return ", ".join([*parts, *self.paths])


@dataclass(frozen=True)
class Selected:
    """How much a selection is: entries of all kinds, files and their bytes.

    *download_files* and *download_bytes* travel: a hard-link group travels once.
    """

    entries: int = 0
    files: int = 0
    bytes: int = 0
    download_files: int = 0
    download_bytes: int = 0


class Chooser:
    """The predicate of a wish; it remembers which parts of it met something."""

    def __init__(self, wish: Wish, sources: Sequence[Source]) -> None:
        self.wish = wish
        self._patterns: List[Tuple[str, Pattern[bytes]]] = []
        for tree in wish.trees:
            self._add(f"tree {tree}", re.escape(os.fsencode(tree)))
        for volume in wish.volumes:
            if "/" in volume or not volume:
                raise ConfigError(
                    f"'{volume}' is no volume's name", "Name paths with --path, without --volume"
                )
            place = b"%s/(?:%s)/" % (os.fsencode(VOLUMES_TREE), _volumes_parent(sources))
            self._add(f"volume {volume}", place + _either(os.fsencode(volume)))
        for path in wish.paths:
            self._add(f"path {path}", _path_pattern(path))
        self._met: Set[str] = set()

    def _add(self, label: str, pattern: bytes) -> None:
        try:
            compiled = re.compile(rb"(?:%s)(?:/.*)?" % pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(f"{label} can't be read as a glob: {error}") from error
        self._patterns.append((label, compiled))

    def __call__(self, path: bytes) -> bool:
        if not self._patterns:
            return True
        found = False
        for label, pattern in self._patterns:
            if pattern.fullmatch(path):
                self._met.add(label)
                found = True
        return found

    @property
    def unmet(self) -> List[str]:
        """The parts of the wish that met nothing so far."""
        return [label for label, _pattern in self._patterns if label not in self._met]


def measure(manifest: AnyPath, chooser: Chooser) -> Selected:
    """How much *chooser* selects; one pass over the manifest.

    Raises :class:`BackupError` when a part of the wish meets nothing, with what there is.
    """
    entries = files = size = download_files = download_bytes = 0
    for entry in read_entries(manifest):
        if not chooser(entry.path):
            continue
        entries += 1
        if entry.type != FILE:
            continue
        files += 1
        size += entry.size
        if entry.link is None or not chooser(entry.link):
            download_files += 1
            download_bytes += entry.size
    if chooser.unmet:
        raise BackupError(
            f"the restore point holds no {chooser.unmet[0]}", _what_there_is(manifest, chooser)
        )
    return Selected(entries, files, size, download_files, download_bytes)


def outermost(
    manifest: AnyPath,
    select: Select,
    sources: Sequence[Source],
    spared_unless: Optional[Sequence[str]] = None,
) -> Iterator[Entry]:
    """The selected entries that lie at or below a source and below no other such entry.

    With *spared_unless*, what makes a board the board that it is (:data:`IDENTITY_PATHS`) is left
    out unless one of those paths names it; a directory that holds such a thing gives way to what
    is in it.
    """
    roots = {
        source.tree: tuple(os.fsencode(path).strip(b"/") for path in source.paths)
        for source in sources
    }
    named = [path.rstrip("/") for path in spared_unless or ()]
    inside = b""
    for entry in read_entries(manifest):
        if inside and entry.path.startswith(inside):
            continue
        tree, _slash, below = entry.path.partition(b"/")
        name = os.fsdecode(tree)
        if not below or not _is_at_or_below(below, roots.get(name, ())):
            continue
        if not select(entry.path):
            continue
        if spared_unless is not None and name == SYSTEM_TREE:
            live = "/" + os.fsdecode(below)
            if is_identity(live, named) or _holds_identity(live):
                continue
        inside = entry.path + b"/"
        yield entry


def live_path(manifest_path: bytes) -> str:
    """Where an entry of a manifest lies on the host."""
    return "/" + os.fsdecode(manifest_path.partition(b"/")[2])


def is_identity(live: str, named: Sequence[str] = ()) -> bool:
    """Whether *live* is part of a board's identity and is not asked for by one of *named*.

    Naming a directory above it is not asking for it: ``/etc/ssh`` leaves the host keys alone.
    """
    above = _and_above(live)
    if not any(fnmatch.fnmatchcase(path, known) for path in above for known in IDENTITY_PATHS):
        return False
    asked = [path for path in named if is_identity(path)]
    return not any(fnmatch.fnmatchcase(path, wanted) for path in above for wanted in asked)


def _and_above(live: str) -> List[str]:
    parts = live.split("/")
    return ["/".join(parts[: length + 1]) for length in range(1, len(parts))]


def _holds_identity(live: str) -> bool:
    return any(known.startswith(live + "/") for known in IDENTITY_PATHS)


def _is_at_or_below(path: bytes, roots: Sequence[bytes]) -> bool:
    return any(path == root or path.startswith(root + b"/") for root in roots)


def _volumes_parent(sources: Sequence[Source]) -> bytes:
    roots = [path for source in sources if source.tree == VOLUMES_TREE for path in source.paths]
    if not roots:
        return _VOLUMES_PARENT
    return b"|".join(re.escape(os.fsencode(root).strip(b"/")) for root in roots)


def _path_pattern(path: str) -> bytes:
    raw = os.fsencode(path)
    if raw.startswith(b"/"):
        return rb"[^/]+/(?:" + _either(raw.strip(b"/")) + b")"
    if not raw.strip(b"/"):
        raise ConfigError("--path needs a path", "Name one as it is on the host: /etc/pihole")
    return _either(raw.strip(b"/"))


def _either(raw: bytes) -> bytes:
    """*raw* itself or what it means as a glob: ``*`` stays in a directory, ``**`` does not."""
    return b"(?:" + re.escape(raw) + b"|" + glob_pattern(raw) + b")"


def glob_pattern(raw: bytes) -> bytes:
    """A glob as a regular expression over bytes; ``**`` crosses slashes, ``*`` and ``?`` do not."""
    translated = b""
    at = 0
    while at < len(raw):
        one = raw[at : at + 1]
        at += 1
        if one == b"*" and raw[at : at + 1] == b"*":
            at += 1
            translated += rb".*"
        elif one == b"*":
            translated += rb"[^/]*"
        elif one == b"?":
            translated += rb"[^/]"
        elif one == b"[" and raw.find(b"]", at + 1) > 0:
            end = raw.find(b"]", at + 1)
            inner = raw[at:end].replace(b"\\", rb"\\").replace(b"[", rb"\[")
            if inner.startswith((b"!", b"^")):
                inner = b"^" + inner[1:]
            translated += b"[" + inner + b"]"
            at = end + 1
        else:
            translated += re.escape(one)
    return translated


def _what_there_is(manifest: AnyPath, chooser: Chooser) -> str:
    """A hint: trees, or the volumes that are spelt alike."""
    trees: Dict[str, None] = {}
    volumes: Dict[str, None] = {}
    parent = re.compile(re.escape(os.fsencode(VOLUMES_TREE)) + rb"/.*?volumes/([^/]+)", re.DOTALL)
    for entry in read_entries(manifest):
        trees[os.fsdecode(entry.path.split(b"/", 1)[0])] = None
        found = parent.fullmatch(entry.path)
        if found:
            volumes[os.fsdecode(found.group(1))] = None
    if chooser.wish.volumes and volumes:
        wanted = chooser.wish.volumes[0]
        close = difflib.get_close_matches(wanted, volumes, n=NAMES_TOLD) or sorted(volumes)
        return f"Its volumes are {', '.join(close[:NAMES_TOLD])}"
    return f"Its trees are {', '.join(trees)}; paths are those of the host, such as /etc/pihole"
