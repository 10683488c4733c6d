# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of disks and the SSD's sentinel: compared first, written when all else is right."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ..base.errors import BackupError
from ..base.state_files import StateFiles
from ..config.schema import Config
from ..filesystem.atomic_write import write_atomically, write_json_atomically
from ..filesystem.mounts import Mount
from .area import require_ssd
from .disk_identity import DiskLook, DiskRecord, disk_of, record_from_json

SENTINEL_NAME = ".lepotato-backup-disk"
_SENTINEL_BYTES = 16
_SENTINEL_TEXT = "{}\nThe nightly backup knows this SSD by the line above: leave it here.\n"


@dataclass(frozen=True)
class DiskPlaces:
    """Where to look: *record* is the file of the record, which must not lie on the SSD."""

    ssd: str
    staging: str
    sources: Tuple[str, ...]
    record: str


def places_of(config: Config) -> DiskPlaces:
    """The places of a night."""
    return DiskPlaces(
        config.paths.ssd,
        config.paths.staging,
        tuple(path for source in config.sources for path in source.paths),
        StateFiles(config.paths.state).disks,
    )


class DiskGuard:
    """What was found of the disks, and what is still to be written of it.

    A host without a record takes what it finds: a new board, and an SSD that came to it from
    another one with its sentinel.
    """

    def __init__(
        self,
        places: DiskPlaces,
        mounts: List[Mount],
        *,
        accept: bool = False,
        with_sentinel: bool = True,
    ) -> None:
        """Look, and write nothing. *accept* takes all disks as they are, whatever was recorded;
        without *with_sentinel* the staging area is not there yet and its sentinel not asked for.

        Raises :class:`BackupError` when the SSD is not mounted or something can't be read.
        """
        self.places = places
        self.before = read_record(places.record)
        self.found_sentinel = read_sentinel(places.staging) if with_sentinel else None
        self._must_hold_sentinel = with_sentinel and os.path.isdir(places.staging)
        self._known = None if accept else self.before
        ssd = disk_of(require_ssd(places.ssd, mounts))
        self._look = DiskLook(self._known, ssd, places.sources, mounts, outside=places.staging)
        self.sentinel = self.found_sentinel or secrets.token_hex(_SENTINEL_BYTES)
        if not with_sentinel and self._known is not None:
            self.sentinel = self._known.sentinel

    @property
    def unrecorded(self) -> List[str]:
        """Sources that are there and had no record."""
        return self._look.unrecorded

    @property
    def record(self) -> DiskRecord:
        """What the record should hold."""
        return DiskRecord(self.sentinel, self._look.ssd, self._look.sources)

    @property
    def is_changed(self) -> bool:
        """Whether :meth:`settle` would write something."""
        return self.sentinel != self.found_sentinel or self.record != self.before

    def refuse_strangers(self) -> None:
        """Raise :class:`BackupError` when a disk is not the one that was recorded."""
        problems = list(self._look.problems)
        known = self._known
        if known is not None and self._must_hold_sentinel and self.found_sentinel != known.sentinel:
            found = "another host's or disk's" if self.found_sentinel else "none"
            problems.append(
                f"the sentinel {self._sentinel_path}: expected the one of this host's SSD, "
                f"found {found}"
            )
        if problems:
            raise BackupError(
                f"the disks are not those that were recorded ({self.places.record}), nothing was "
                f"changed: {'; '.join(problems)}",
                "If a disk is missing or took another's place, mount the right one (lsblk -f). If "
                "it was replaced on purpose, run backup-to-b2.sh --accept-disks once, or site.yml "
                "with -e staging_accept_new_disks=true",
            )

    def settle(self) -> None:
        """Write the sentinel and the record, where they are not as they should be."""
        if self.sentinel != self.found_sentinel:
            os.makedirs(self.places.staging, mode=0o700, exist_ok=True)
            text = _SENTINEL_TEXT.format(self.sentinel)
            write_atomically(self._sentinel_path, text.encode("ascii"))
        if self.record != self.before:
            write_json_atomically(self.places.record, self.record.to_json())

    @property
    def _sentinel_path(self) -> str:
        return os.path.join(self.places.staging, SENTINEL_NAME)


def read_record(path: str) -> Optional[DiskRecord]:
    """The record, or None when there is none; raises :class:`BackupError` naming *path*."""
    try:
        with open(path, encoding="utf-8") as stream:
            return record_from_json(json.load(stream), path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BackupError(
            f"{path} is not JSON: {error}",
            "Look that all disks are mounted, remove the file and run site.yml: it is made anew",
        ) from error


def read_sentinel(staging: str) -> Optional[str]:
    """What the sentinel says, or None when there is none.

    Raises :class:`BackupError` when the SSD does not answer.
    """
    path = os.path.join(staging, SENTINEL_NAME)
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BackupError(
            f"{path} can't be read: {error.strerror}",
            "Check the SSD, its cable and its power supply (dmesg)",
        ) from error
