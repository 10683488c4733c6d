# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of small files and directories that is put in place as a whole, or compared with.

One module call instead of one per file: on a small board the start of Python is what a task
costs. Content that differs is replaced atomically; what is right already is not touched.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..base.errors import BackupError
from .atomic_write import sync_directory, write_atomically


class Wanted(NamedTuple):
    """A file with *content*, or a directory when *content* is None; *mode* are its bits."""

    path: str
    mode: int
    content: Optional[str] = None


class Change(NamedTuple):
    """What a :class:`Wanted` entry would change; texts are for a person to compare."""

    wanted: Wanted
    before: str
    after: str

    def as_diff(self) -> Dict[str, str]:
        """This change in the form of Ansible's ``diff`` results."""
        path = self.wanted.path
        return {
            "before_header": path,
            "after_header": path,
            "before": self.before,
            "after": self.after,
        }


def wanted_from_options(options: Sequence[Mapping[str, Any]]) -> List[Wanted]:
    """Read module options (``path``, ``mode``, optionally ``content``).

    Raises :class:`BackupError` for a mode that is not octal or a path that is not absolute.
    """
    wanted = []
    for option in options:
        path, mode_text = option["path"], str(option["mode"])
        if not os.path.isabs(path):
            raise BackupError(f"{path} is not an absolute path")
        try:
            mode = int(mode_text, 8)
        except ValueError as error:
            raise BackupError(
                f"mode of {path} must be octal, like '0644', not {mode_text}"
            ) from error
        wanted.append(Wanted(path, mode, option.get("content")))
    return wanted


def changes_needed(wanted: Sequence[Wanted]) -> List[Change]:
    """The entries of *wanted* that are not in place yet, in the order given."""
    changes = []
    for entry in wanted:
        before, after = _state(entry), _description(entry)
        if before != after:
            changes.append(Change(entry, before, after))
    return changes


def apply_changes(changes: Sequence[Change]) -> None:
    """Put the changed entries in place, in the order given, owned by this user.

    Raises :class:`BackupError` when something that must not be replaced is in the way.
    """
    for change in changes:
        entry = change.wanted
        if entry.content is None:
            _make_directory(entry)
            continue
        if os.path.isdir(entry.path) and not os.path.islink(entry.path):
            raise BackupError(f"{entry.path} is a directory", "Move it away: a file belongs there")
        write_atomically(entry.path, entry.content.encode("utf-8"), entry.mode)


def _make_directory(entry: Wanted) -> None:
    try:
        os.makedirs(entry.path, mode=entry.mode, exist_ok=True)
    except FileExistsError as error:
        raise BackupError(
            f"{entry.path} is not a directory", "Move it away: a directory belongs there"
        ) from error
    os.chown(entry.path, os.geteuid(), os.getegid())
    os.chmod(entry.path, entry.mode)
    sync_directory(os.path.dirname(entry.path))


def _description(entry: Wanted) -> str:
    kind = "directory" if entry.content is None else "file"
    return _text(kind, entry.mode, os.geteuid(), entry.content)


def _state(entry: Wanted) -> str:
    try:
        # A directory may be reached through a link; a file that is a link is replaced.
        status = os.stat(entry.path) if entry.content is None else os.lstat(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return _text("directory", mode, status.st_uid, None)
    if not stat.S_ISREG(status.st_mode):
        return _text("something else", mode, status.st_uid, None)
    with open(entry.path, encoding="utf-8", errors="backslashreplace") as stream:
        return _text("file", mode, status.st_uid, stream.read())


def _text(kind: str, mode: int, owner: int, content: Optional[str]) -> str:
    return f"({kind}, mode {mode:04o}, owner {owner})\n{content or ''}"
