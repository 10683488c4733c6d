# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write files so that a power cut leaves the old content or the new, never a mixture."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any


def write_atomically(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace *path* by *data* with permission bits *mode*; file and directory are synced.

    Raises :class:`OSError`, which names *path*, when the directory is missing or full; *path* is
    then unchanged.
    """
    directory = os.path.dirname(path) or "."
    try:
        _replace(path, directory, data, mode)
    except OSError as error:
        # What write() and fsync() raise names no file, what mkstemp() raises one that nobody knows.
        error.filename = path
        raise
    sync_directory(directory)


def _replace(path: str, directory: str, data: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json_atomically(path: str, value: Any, mode: int = 0o600) -> None:
    """:func:`write_atomically` of *value* as indented JSON with sorted keys."""
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    write_atomically(path, text.encode("utf-8"), mode)


def sync_directory(path: str) -> None:
    """Make renames and removals in *path* outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
