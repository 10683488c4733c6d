# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores in place moved aside, kept until a person says that it may go."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import asdict, dataclass
from typing import List, Sequence, Tuple

from ..base.errors import BackupError
from ..filesystem.atomic_write import write_json_atomically

FILE_NAME = "replaced.json"
FORMAT_VERSION = 1

# What lay there before a restore, and what a restore brought that was not good.
REPLACED = "replaced"
REJECTED = "rejected"


@dataclass(frozen=True)
class Replaced:
    """What one restore left aside: *id* is its own, *point* what it restored."""

    id: str
    point: str
    kind: str
    paths: Tuple[str, ...]


class ReplacedList:
    """``STATE/replaced.json``."""

    def __init__(self, state_directory: str) -> None:
        self.path = os.path.join(state_directory, FILE_NAME)

    def records(self) -> List[Replaced]:
        """Oldest first; raises :class:`BackupError` when the file can't be read."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                raw = json.load(stream)
            if raw["version"] != FORMAT_VERSION:
                raise ValueError("its version is not known")
            return [
                Replaced(item["id"], item["point"], item["kind"], tuple(item["paths"]))
                for item in raw["records"]
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{self.path}, the list of what was moved aside, can't be read: {error}",
                "Look for names with '.lepotato-before-' beside your data",
            ) from error

    def add(self, record: Replaced) -> None:
        """Note *record*; one of the same restore and kind is replaced, so it can be repeated."""
        if not record.paths:
            return
        others = [
            item for item in self.records() if (item.id, item.kind) != (record.id, record.kind)
        ]
        self._write([*others, record])

    def forget(self, identifiers: Sequence[str]) -> None:
        """Delete for good what the restores *identifiers* moved aside."""
        for record in self.records():
            if record.id in identifiers:
                for path in record.paths:
                    _remove(path)
                self._write([item for item in self.records() if item != record])

    def _write(self, records: Sequence[Replaced]) -> None:
        body = [asdict(record) for record in records]
        write_json_atomically(self.path, {"version": FORMAT_VERSION, "records": body})


def size_bytes(paths: Sequence[str]) -> int:
    """The room that *paths* and what lies below them take; what is gone takes none."""
    total = 0
    seen = set()
    pending = [path for path in paths if os.path.lexists(path)]
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) not in seen:
            # st_blocks counts units of 512 bytes on every file system (stat(2)).
            total += status.st_blocks * 512
        if status.st_nlink > 1:
            seen.add((status.st_dev, status.st_ino))
        if stat.S_ISDIR(status.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
    return total


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
