# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about paths, and about the room where they lie."""

from __future__ import annotations

import os


def is_below(path: str, parent: str) -> bool:
    """Whether *path* is *parent* or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def nearest_existing(path: str) -> str:
    """*path*, or the nearest directory above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(os.path.abspath(path))
    return path


def free_bytes_at(path: str) -> int:
    """What may still be written on the file system that holds *path* or its nearest parent."""
    status = os.statvfs(nearest_existing(path))
    return status.f_bavail * status.f_frsize
