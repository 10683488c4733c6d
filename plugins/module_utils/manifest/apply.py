# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a downloaded tree to what the manifest says, and check every byte of it on the way.

rclone brings plain files with their mtimes. Everything else is made here: directories, symlinks,
pipes, devices, hard links, files with odd names (from their carriers), holes, and then owner,
mode, attributes and mtimes. One pass in the manifest's order: a directory is finished when its
last entry is, so its own mode and mtime come after everything in it; memory holds one path's
directories and the names in them.

It can be repeated and goes on where it was stopped; what is right already is left alone. It
never overwrites an entry of another type and never follows a symlink: such a name is a problem.

*Problems* (missing, damaged, blocked) mean that the tree is not the tree that was. *Warnings* are
attributes that the file system or a missing privilege refused: without root, owners, devices,
``trusted.`` attributes and capabilities can't be set, each is listed, and the data is good.
*Extras* are names in the target that the manifest does not have; they are left alone.
"""

from __future__ import annotations

import errno
import os
from typing import Callable, List, NamedTuple, Optional, Tuple

from ..base.errors import BackupError
from .content import READ_BYTES, hash_content, is_sparse
from .file import check_manifest, read_entries
from .make import (
    BlockedError,
    is_leftover,
    make_directory,
    make_node,
    make_symlink,
    place_content,
    remove_empty_directories,
    remove_file,
)
from .metadata import apply_metadata
from .model import (
    CARRIER_DIRECTORY,
    DEVICES,
    DIRECTORY,
    FILE,
    SOCKET,
    SYMLINK,
    AnyPath,
    Entry,
    Select,
    content_path,
)
from .target import TargetTree

LISTED_MAX = 100

OnIssue = Callable[[bytes, str], None]


class Issue(NamedTuple):
    """A path below the target and what is wrong with it, in words."""

    path: bytes
    reason: str


class ApplyProgress(NamedTuple):
    """Entries done, and bytes of content read and checked."""

    entries: int
    verified_bytes: int


class ApplyResult(NamedTuple):
    """What :func:`apply_manifest` did; the lists hold the first :data:`LISTED_MAX` of each."""

    entries: int
    verified_files: int
    verified_bytes: int
    sockets: int
    problems_total: int
    problems: Tuple[Issue, ...]
    warnings_total: int
    warnings: Tuple[Issue, ...]
    extras_total: int
    extras: Tuple[bytes, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every selected entry is there with its content."""
        return self.problems_total == 0


def apply_manifest(
    manifest: AnyPath,
    target: AnyPath,
    *,
    select: Optional[Select] = None,
    remove_damaged: bool = False,
    finish: bool = False,
    on_problem: Optional[OnIssue] = None,
    on_progress: Optional[Callable[[ApplyProgress], None]] = None,
) -> ApplyResult:
    """Make the tree below *target* what *manifest* says; :mod:`.carriers` tells what has
    to be downloaded there before (``iter_download_paths``).

    *select* chooses entries by path; the directories above a selected entry come with it.
    *remove_damaged* deletes files whose content is wrong, so that a repeated download fetches
    them again; *finish* says that no other download follows. *on_problem* hears of every problem,
    beyond those listed in the result. When nothing is missing, or no more comes, the carrier
    directory and leaders that were not selected are removed.
    Raises :class:`ManifestError`, before anything is changed, for a manifest that is cut or
    unsafe, and :class:`BackupError` when *target* is not a directory.
    """
    check_manifest(manifest)
    try:
        tree = TargetTree(target)
    except OSError as error:
        raise BackupError(
            f"the target {os.fsdecode(target)} can't be used: {error.strerror}",
            "Give an existing directory",
        ) from error
    with tree:
        application = _Application(tree, select, remove_damaged, finish, on_problem, on_progress)
        application.run(manifest)
        return application.result()


class _Level:
    """A directory on the way to the current entry."""

    def __init__(self, entry: Optional[Entry]) -> None:
        self.entry = entry
        self.is_made = False
        self.is_blocked = False
        # Names in the target that the manifest has not mentioned yet, sorted backwards; empty
        # for directories that are only on the way to something selected.
        self.names: List[bytes] = []

    @property
    def prefix(self) -> bytes:
        return self.entry.path + b"/" if self.entry is not None else b""


class _Application:
    """One run of :func:`apply_manifest`."""

    def __init__(
        self,
        tree: TargetTree,
        select: Optional[Select],
        remove_damaged: bool,
        finish: bool,
        on_problem: Optional[OnIssue],
        on_progress: Optional[Callable[[ApplyProgress], None]],
    ) -> None:
        self._tree = tree
        self._select: Select = select or _select_all
        self._remove_damaged = remove_damaged
        self._finish = finish
        self._on_problem = on_problem
        self._on_progress = on_progress
        self._buffer = bytearray(READ_BYTES)
        root = _Level(None)
        root.is_made = True
        if select is None:
            root.names = self._names_in(b"")
        self._levels = [root]
        self._borrows_content = False
        self._entries = self._sockets = self._verified_files = self._verified_bytes = 0
        self._problems_total = self._warnings_total = self._extras_total = 0
        self._problems: List[Issue] = []
        self._warnings: List[Issue] = []
        self._extras: List[bytes] = []

    def run(self, manifest: AnyPath) -> None:
        """The one pass; :meth:`result` tells how it went."""
        for entry in read_entries(manifest):
            while not entry.path.startswith(self._levels[-1].prefix):
                self._finish_level(self._levels.pop())
            self._see_name(entry)
            level = _Level(entry) if entry.type == DIRECTORY else None
            if self._select(entry.path):
                self._apply_selected(entry, level)
            if level is not None:
                self._levels.append(level)
        while self._levels:
            self._finish_level(self._levels.pop())
        if self._borrows_content and (self._finish or not self._problems_total):
            _remove_borrowed(self._tree, manifest, self._select)

    def result(self) -> ApplyResult:
        return ApplyResult(
            entries=self._entries,
            verified_files=self._verified_files,
            verified_bytes=self._verified_bytes,
            sockets=self._sockets,
            problems_total=self._problems_total,
            problems=tuple(self._problems),
            warnings_total=self._warnings_total,
            warnings=tuple(self._warnings),
            extras_total=self._extras_total,
            extras=tuple(self._extras),
        )

    def _apply_selected(self, entry: Entry, level: Optional[_Level]) -> None:
        for above in self._levels:
            if above.entry is not None and not above.is_made:
                self._make_level(above, above.entry)
                above.names = []
        if level is not None:
            self._make_level(level, entry)
        elif entry.type == SOCKET:
            self._sockets += 1
        else:
            self._apply_entry(entry)
        self._entries += 1
        if self._on_progress is not None:
            self._on_progress(ApplyProgress(self._entries, self._verified_bytes))

    def _make_level(self, level: _Level, entry: Entry) -> None:
        level.is_made = True
        try:
            make_directory(self._tree, entry)
            level.names = self._names_in(entry.path)
        except (OSError, BlockedError) as error:
            level.is_blocked = True
            self._add_problem(entry.path, _reason(error))

    def _apply_entry(self, entry: Entry) -> None:
        try:
            if entry.type == FILE:
                place_content(self._tree, entry)
                if not self._verify(entry):
                    return
            elif entry.type == SYMLINK:
                make_symlink(self._tree, entry)
            else:
                make_node(self._tree, entry)
            self._apply_metadata(entry)
        except (OSError, BlockedError) as error:
            if entry.type in DEVICES and getattr(error, "errno", None) == errno.EPERM:
                self._add_warning(entry.path, "a device can't be made without root")
            else:
                self._add_problem(entry.path, _reason(error))

    def _apply_metadata(self, entry: Entry) -> None:
        directory_fd, _name = self._tree.place(entry.path)
        apply_metadata(directory_fd, entry, lambda reason: self._add_warning(entry.path, reason))

    def _verify(self, entry: Entry) -> bool:
        """Whether the file's content is right; a problem is noted when it is not."""
        if content_path(entry) != entry.path:
            self._borrows_content = True
        status = self._tree.status(entry.path)
        directory_fd, name = self._tree.place(entry.path)
        found_bytes = status.st_size if status is not None else 0
        make_sparse = entry.sparse and status is not None and not is_sparse(status)
        if found_bytes != entry.size:
            reason = f"damaged: it has {found_bytes} bytes, not {entry.size}"
        else:
            sha256 = hash_content(directory_fd, name, self._buffer, make_sparse)
            if sha256 == entry.sha256:
                self._verified_files += 1
                self._verified_bytes += entry.size
                return True
            reason = f"damaged: its SHA-256 is {sha256}, not {entry.sha256}"
        self._add_problem(entry.path, reason)
        if self._remove_damaged:
            remove_file(self._tree, entry.path)
            remove_file(self._tree, content_path(entry))
        return False

    def _see_name(self, entry: Entry) -> None:
        """Names before this entry's in the target's directory are not in the manifest."""
        level = self._levels[-1]
        name = entry.path.rpartition(b"/")[2]
        while level.names and level.names[-1] < name:
            self._add_extra(level.prefix + level.names.pop())
        if level.names and level.names[-1] == name:
            level.names.pop()

    def _finish_level(self, level: _Level) -> None:
        while level.names:
            self._add_extra(level.prefix + level.names.pop())
        if level.entry is None or not level.is_made or level.is_blocked:
            return
        try:
            self._apply_metadata(level.entry)
        except OSError as error:
            self._add_problem(level.entry.path, _reason(error))

    def _names_in(self, path: bytes) -> List[bytes]:
        names = self._tree.names(path)
        if not path and CARRIER_DIRECTORY in names:
            names.remove(CARRIER_DIRECTORY)
        names.sort(reverse=True)
        return names

    def _add_problem(self, path: bytes, reason: str) -> None:
        self._problems_total += 1
        if len(self._problems) < LISTED_MAX:
            self._problems.append(Issue(path, reason))
        if self._on_problem is not None:
            self._on_problem(path, reason)

    def _add_warning(self, path: bytes, reason: str) -> None:
        self._warnings_total += 1
        if len(self._warnings) < LISTED_MAX:
            self._warnings.append(Issue(path, reason))

    def _add_extra(self, path: bytes) -> None:
        if is_leftover(path):
            remove_file(self._tree, path)
            return
        self._extras_total += 1
        if len(self._extras) < LISTED_MAX:
            self._extras.append(path)


def _select_all(_path: bytes) -> bool:
    return True


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _remove_borrowed(tree: TargetTree, manifest: AnyPath, select: Select) -> None:
    """Remove carriers, and leaders that were downloaded only for their selected members."""
    for entry in read_entries(manifest):
        if entry.type != FILE or not select(entry.path):
            continue
        source = content_path(entry)
        if entry.carrier:
            remove_file(tree, source)
        elif entry.link is not None and not select(entry.link):
            remove_file(tree, source)
            remove_empty_directories(tree, source.rpartition(b"/")[0], select)
    # Empty, unless it holds what another download brought.
    remove_empty_directories(tree, CARRIER_DIRECTORY, lambda path: path != CARRIER_DIRECTORY)
