# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give one restored entry its owner, mode, attributes and modification time."""

from __future__ import annotations

import errno
import os
import stat
from typing import Callable

from .model import SYMLINK, Entry
from .xattrs import write_xattrs

# What a file system or a missing privilege refuses: the data is safe, the attribute is not.
_REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENOSPC))


def apply_metadata(directory_fd: int, entry: Entry, on_refusal: Callable[[str], None]) -> None:
    """Give the entry in *directory_fd* its owner, mode, attributes and mtime, in that order.

    ``chown`` clears setuid and capabilities, so mode and attributes follow it; an ACL holds the
    mode's group bits, so it follows the mode. *on_refusal* is told in words what the file system
    or a missing privilege did not allow. Raises :class:`OSError` for anything else.
    """
    name = entry.path.rpartition(b"/")[2]
    status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    # The kernel resolves the descriptor, and nothing below follows the last name.
    by_descriptor = b"/proc/self/fd/%d/%s" % (directory_fd, name)

    def owner() -> None:
        os.chown(name, entry.uid, entry.gid, dir_fd=directory_fd, follow_symlinks=False)

    def times() -> None:
        os.utime(
            name,
            ns=(status.st_atime_ns, entry.mtime_ns),
            dir_fd=directory_fd,
            follow_symlinks=False,
        )

    owned = (status.st_uid, status.st_gid) == (entry.uid, entry.gid)
    if not owned:
        _attempt(owner, f"owner {entry.uid}:{entry.gid}", on_refusal)
    if entry.type != SYMLINK and not (owned and stat.S_IMODE(status.st_mode) == entry.mode):
        _attempt(
            lambda: change_mode(directory_fd, name, entry.mode),
            f"mode {entry.mode:04o}",
            on_refusal,
        )
    _attempt(lambda: write_xattrs(by_descriptor, entry.xattrs), "extended attributes", on_refusal)
    if status.st_mtime_ns != entry.mtime_ns:
        _attempt(times, "modification time", on_refusal)


def _attempt(action: Callable[[], None], what: str, on_refusal: Callable[[str], None]) -> None:
    try:
        action()
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        on_refusal(f"{what} not applied: {error.strerror}")


def change_mode(directory_fd: int, name: bytes, mode: int) -> None:
    """``chmod`` that does not follow a symlink: through a descriptor of the entry itself."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode)
    finally:
        os.close(descriptor)
