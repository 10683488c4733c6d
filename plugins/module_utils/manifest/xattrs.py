# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extended attributes, POSIX ACLs and capabilities among them, read and made equal."""

from __future__ import annotations

import errno
import os
from typing import Tuple

from .model import AnyPath

Xattrs = Tuple[Tuple[bytes, bytes], ...]


def is_portable_xattr(name: bytes) -> bool:
    """Whether an extended attribute belongs to the data and not to the machine.

    SELinux and IMA labels (other ``security.`` names) are made by the machine a tree is on.
    """
    return name.startswith((b"user.", b"trusted.")) or name in (
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    )


def read_xattrs(path: AnyPath) -> Xattrs:
    """The portable extended attributes at *path*, sorted, not through a symlink.

    A file system without attributes has none. Raises :class:`OSError`.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    encoded = sorted(os.fsencode(name) for name in names)
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in encoded
        if is_portable_xattr(name)
    )


def write_xattrs(path: AnyPath, wanted: Xattrs) -> None:
    """Make the portable extended attributes at *path* be *wanted*, not through a symlink.

    Attributes that are not wanted (an ACL inherited from the parent's default) are removed;
    those that are equal already are not written. Raises :class:`OSError`.
    """
    present = dict(read_xattrs(path))
    for name in present.keys() - dict(wanted).keys():
        os.removexattr(path, name, follow_symlinks=False)
    for name, value in wanted:
        if present.get(name) != value:
            os.setxattr(path, name, value, follow_symlinks=False)
