# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe a tree: a deterministic, streamed, incremental walk.

The walk reads a file's content only when it must: a file whose inode, size, mtime and ctime are
those of the previous manifest keeps that manifest's SHA-256 (see :mod:`.hard_links` for
ctimes that our own snapshots change). A hard-linked file is read once. The top-level carrier
directory is not part of the tree and is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from .carriers import carrier_name
from .content import READ_BYTES, content_chunks, is_sparse
from .file import ManifestSummary, ManifestWriter, check_manifest, read_entries
from .hard_links import HardLinks, LinkWindow
from .model import (
    BLOCK_DEVICE,
    CARRIER_DIRECTORY,
    CHARACTER_DEVICE,
    DEVICES,
    DIRECTORY,
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
    AnyPath,
    Entry,
    ManifestError,
    sort_key,
    to_text,
)
from .xattrs import read_xattrs

_SOCKETS_LISTED_MAX = 100

_TYPE_OF_FORMAT: Mapping[int, str] = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFSOCK: SOCKET,
}

# Called with a path and what is wrong with it.
OnProblem = Callable[[bytes, str], None]


class WalkProgress(NamedTuple):
    """How far a walk is: entries described, entries there are, bytes read."""

    entries: int
    entries_total: int
    hashed_bytes: int


class WalkResult(NamedTuple):
    """What :func:`write_manifest` did. ``sockets`` lists the first 100 that were left out;
    ``previous_problem`` says why a previous manifest could not be used ("" when it could).
    ``damaged`` are files whose content changed with inode, size and time kept: rsync makes a new
    inode for new content, so that only damage does this. They are described as they were before,
    which is what the bucket holds, and are read again by the next walk."""

    summary: ManifestSummary
    hashed_files: int
    hashed_bytes: int
    reused_files: int
    odd_files: int
    sockets: Tuple[bytes, ...]
    previous_problem: str
    damaged: Tuple[bytes, ...] = ()


def write_manifest(
    root: AnyPath,
    path: AnyPath,
    *,
    previous: Optional[AnyPath] = None,
    windows: Sequence[LinkWindow] = (),
    extra: Optional[Mapping[str, Any]] = None,
    on_progress: Optional[Callable[[WalkProgress], None]] = None,
) -> WalkResult:
    """Describe what is below *root* in the manifest *path*, which appears whole or not at all.

    *previous* is an earlier manifest of the same root (may be *path* itself); a missing or
    damaged one means that everything is read. *windows* come from
    :func:`.hard_links.read_link_windows`. *extra* goes into the header. *on_progress* is
    called for every entry. Raises :class:`ManifestError` naming the entry when something can't be
    read or changes while it is read: staging is still, so that is never normal here.
    """
    known, previous_problem = _usable_entries(previous)
    odd_files = 0
    sockets: List[bytes] = []
    walk = TreeWalk(root, previous=known, windows=windows, on_progress=on_progress)
    with ManifestWriter(path, extra) as writer:
        for entry in walk:
            writer.write(entry)
            odd_files += bool(entry.carrier)
            if entry.type == SOCKET and len(sockets) < _SOCKETS_LISTED_MAX:
                sockets.append(entry.path)
    return WalkResult(
        summary=writer.summary(),
        hashed_files=walk.hashed_files,
        hashed_bytes=walk.hashed_bytes,
        reused_files=walk.reused_files,
        odd_files=odd_files,
        sockets=tuple(sockets),
        previous_problem=previous_problem,
        damaged=tuple(walk.damaged),
    )


def _usable_entries(previous: Optional[AnyPath]) -> Tuple[Iterator[Entry], str]:
    """The entries of *previous*, read whole once first, and what is wrong with it."""
    if previous is None:
        return iter(()), ""
    try:
        check_manifest(previous)
    except (ManifestError, OSError) as error:
        return iter(()), str(error)
    return read_entries(previous), ""


def walk_entries(
    root: AnyPath, *, read_content: bool = True, on_problem: Optional[OnProblem] = None
) -> Iterator[Entry]:
    """Describe what is below *root*, entry by entry, without a manifest.

    Without *read_content* files have the SHA-256 of nothing known: "". *on_problem* is told
    about entries that vanish, change or can't be read, and the walk goes on without them (for
    live trees); by default :class:`ManifestError` is raised.
    """
    return iter(TreeWalk(root, read_content=read_content, on_problem=on_problem))


def describe_path(path: AnyPath) -> Optional[Entry]:
    """The one entry at *path*, named by its last part; None when nothing is there.

    Raises :class:`ManifestError` when it can't be read.
    """
    directory, name = os.path.split(os.fsencode(path))
    walk = TreeWalk(directory)
    try:
        return walk.describe(name) if os.path.lexists(path) else None
    finally:
        walk.close()


def _raise_problem(path: bytes, reason: str) -> None:
    raise ManifestError(
        f"{to_text(path)!r} could not be described: {reason}",
        "If it changed, something else writes there; if it can't be read, check the disk",
    )


class TreeWalk:
    """One walk; the counters tell what it cost once it is exhausted."""

    def __init__(
        self,
        root: AnyPath,
        *,
        previous: Iterable[Entry] = (),
        windows: Sequence[LinkWindow] = (),
        read_content: bool = True,
        on_problem: Optional[OnProblem] = None,
        on_progress: Optional[Callable[[WalkProgress], None]] = None,
    ) -> None:
        self._root = os.fsencode(root).rstrip(b"/") + b"/"
        self._previous = _Cursor(previous)
        self._windows = windows
        self._read_content = read_content
        self._on_problem = on_problem or _raise_problem
        self._on_progress = on_progress
        self._buffer = bytearray(READ_BYTES)
        self._links = HardLinks()
        self.hashed_files = 0
        self.hashed_bytes = 0
        self.reused_files = 0
        self.damaged: List[bytes] = []

    def __iter__(self) -> Iterator[Entry]:
        try:
            entries_total = self._note_hard_links()
            for count, entry in enumerate(self._entries(), start=1):
                yield entry
                if self._on_progress is not None:
                    self._on_progress(WalkProgress(count, entries_total, self.hashed_bytes))
        finally:
            self.close()

    def close(self) -> None:
        """Give back what the walk holds; a walk that was gone through has done so."""
        self._links.close()

    def _note_hard_links(self) -> int:
        """First pass: let the link table see every file; returns the number of entries."""
        total = 0
        pending = [self._root]
        while pending:
            directory = pending.pop()
            try:
                with os.scandir(directory) as found:
                    for item in found:
                        if directory == self._root and item.name == CARRIER_DIRECTORY:
                            continue
                        total += 1
                        if item.is_dir(follow_symlinks=False):
                            pending.append(item.path)
                        elif item.is_file(follow_symlinks=False):
                            self._links.note(item.stat(follow_symlinks=False))
            except FileNotFoundError:
                # The second pass meets the same gap and reports it.
                continue
            except OSError as error:
                self._on_problem(directory[len(self._root) :], str(error.strerror))
        return total

    def _entries(self) -> Iterator[Entry]:
        top = self._names(b"")
        if CARRIER_DIRECTORY in top:
            top.remove(CARRIER_DIRECTORY)
        # A directory's names are sorted backwards and popped from the end.
        stack: List[Tuple[bytes, List[bytes]]] = [(b"", top)]
        while stack:
            prefix, names = stack[-1]
            if not names:
                stack.pop()
                continue
            path = prefix + names.pop()
            try:
                entry = self.describe(path)
            except OSError as error:
                self._on_problem(path, str(error.strerror))
                continue
            if entry is None:
                continue
            yield entry
            if entry.type == DIRECTORY:
                stack.append((path + b"/", self._names(path)))

    def _names(self, path: bytes) -> List[bytes]:
        try:
            return sorted(os.listdir(self._root + path), reverse=True)
        except OSError as error:
            self._on_problem(path, str(error.strerror))
            return []

    def describe(self, path: bytes) -> Optional[Entry]:
        """The entry at *path*; None after a problem that the caller was told about."""
        full_path = self._root + path
        status = os.lstat(full_path)
        kind = _TYPE_OF_FORMAT[stat.S_IFMT(status.st_mode)]
        entry = Entry(
            path=path,
            type=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
            xattrs=read_xattrs(full_path),
        )
        if kind == FILE:
            return self._describe_file(entry, status)
        if kind == SYMLINK:
            return entry._replace(target=os.readlink(full_path))
        if kind in DEVICES:
            return entry._replace(device=(os.major(status.st_rdev), os.minor(status.st_rdev)))
        return entry

    def _describe_file(self, entry: Entry, status: os.stat_result) -> Optional[Entry]:
        leader = self._links.leader(status)
        if leader is None:
            link, sha256 = None, self._content_digest(entry.path, status)
            if sha256 is None:
                return None
            self._links.add(status, entry.path, sha256)
        else:
            link, sha256 = leader
        return entry._replace(
            size=status.st_size,
            sha256=sha256,
            link=link,
            carrier=carrier_name(entry.path if link is None else link),
            sparse=is_sparse(status),
            inode=status.st_ino,
            # A damaged file is read again by the next walk.
            ctime_ns=0 if self.damaged[-1:] == [entry.path] else status.st_ctime_ns,
        )

    def _content_digest(self, path: bytes, status: os.stat_result) -> Optional[str]:
        if not self._read_content:
            return ""
        known = self._previous.find(path)
        if known is not None and self._is_unchanged(known, status):
            self.reused_files += 1
            return known.sha256
        digest, before, after = _hash_file(self._root + path, self._buffer)
        if not _same_content_times(status, before) or not _same_content_times(before, after):
            self._on_problem(path, "it changed while it was read")
            return None
        self.hashed_files += 1
        self.hashed_bytes += after.st_size
        if known is not None and _is_same_file(known, status) and digest != known.sha256:
            self.damaged.append(path)
            return known.sha256
        return digest

    def _is_unchanged(self, known: Entry, status: os.stat_result) -> bool:
        if not _is_same_file(known, status):
            return False
        return known.ctime_ns == status.st_ctime_ns or any(
            window.start_ns <= status.st_ctime_ns <= window.end_ns for window in self._windows
        )


def _is_same_file(known: Entry, status: os.stat_result) -> bool:
    """Whether inode, size and modification time are as they were."""
    return known.type == FILE and (known.inode, known.size, known.mtime_ns) == (
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    )


class _Cursor:
    """Looks paths up in a stream of entries; both go forward in the manifest's order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = iter(entries)
        self._entry = next(self._entries, None)

    def find(self, path: bytes) -> Optional[Entry]:
        key = sort_key(path)
        while self._entry is not None and sort_key(self._entry.path) < key:
            self._entry = next(self._entries, None)
        if self._entry is not None and self._entry.path == path:
            return self._entry
        return None


def _hash_file(path: bytes, buffer: bytearray) -> Tuple[str, os.stat_result, os.stat_result]:
    """SHA-256 of the file at *path* and its status before and after; never through a symlink."""
    descriptor = _open_for_reading(path)
    try:
        before = os.fstat(descriptor)
        digest = hashlib.sha256()
        for _offset, chunk in content_chunks(descriptor, buffer):
            digest.update(chunk)
        return digest.hexdigest(), before, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _open_for_reading(path: bytes) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        # Reading for the manifest must not make the SSD write access times.
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def _same_content_times(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )
