# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a tree is, in one value: to tell whether it came through a move unharmed."""

from __future__ import annotations

import hashlib
import os
import stat


def tree_digest(top: str) -> list[tuple[object, ...]]:
    """Names, kinds, owners, modes, times, contents, extended attributes and which names are one
    file; without ``lost+found``."""
    entries: list[tuple[object, ...]] = []
    first_names: dict[int, str] = {}
    for directory, names, files in os.walk(top):
        if directory == top and "lost+found" in names:
            names.remove("lost+found")
        names.sort()
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as stream:
                    content = hashlib.sha256(stream.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            relative = os.path.relpath(path, top)
            is_directory = stat.S_ISDIR(status.st_mode)
            entries.append(
                (
                    relative,
                    oct(status.st_mode),
                    (status.st_uid, status.st_gid),
                    status.st_mtime_ns,
                    content,
                    sorted(os.listxattr(path, follow_symlinks=False)),
                    "" if is_directory else first_names.setdefault(status.st_ino, relative),
                )
            )
    return entries
