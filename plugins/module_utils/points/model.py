# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points: what a seal says, what it is called, and which one a person means.

A night is a restore point once its seal, ``points/ID.json``, is in the bucket. The seal is the
last object that a night writes, so everything it names is there and was counted.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from ..base.errors import BackupError, ConfigError
from ..bucket.layout import DAILY_DIRECTORY, MANIFESTS_DIRECTORY, POINTS_DIRECTORY, Amount

SEAL_VERSION = 1

_MANIFEST_SUFFIX = ".jsonl.gz"
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_END_OF_TIME = "99991231T235959Z"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?Z?)?")


class DamagedPointError(BackupError):
    """A point's seal or manifest is not what was sealed."""


@dataclass(frozen=True)
class ManifestReference:
    """Where a point's manifest lies below the crypt remote, and its plain SHA-256 and size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Seal:
    """What a sealed night is.

    *version_at* is the server's time (RFC 3339, UTC) at which the bucket held exactly this
    night: what ``--b2-version-at`` takes. *trees* counts what was captured, *upload* the objects
    below ``daily/``, which are fewer: hard links travel once, links and directories not at all.
    *data* is where the objects lie: an independent weekly copy has a directory of its own. *board*
    tells which board wrote it, "" before that was noted.
    """

    id: str
    host: str
    started_at: str
    sealed_at: str
    version_at: str
    manifest: ManifestReference
    trees: Mapping[str, Amount]
    upload: Amount
    version: int = SEAL_VERSION
    data: str = DAILY_DIRECTORY
    board: str = ""

    @property
    def total(self) -> Amount:
        """Files and bytes of all trees."""
        return Amount(
            sum(amount.files for amount in self.trees.values()),
            sum(amount.bytes for amount in self.trees.values()),
        )

    def to_json(self) -> str:
        """The seal as it is stored."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"


def parse_seal(text: str, name: str) -> Seal:
    """The seal in *text*; *name* says which object it was, in the :class:`BackupError`."""
    try:
        raw: Dict[str, Any] = json.loads(text)
        if raw["version"] > SEAL_VERSION:
            raise BackupError(
                f"{name} was written by a newer version of lepotato.backup",
                "Update this installation before you restore",
            )
        return Seal(
            id=raw["id"],
            host=raw["host"],
            started_at=raw["started_at"],
            sealed_at=raw["sealed_at"],
            version_at=raw["version_at"],
            manifest=ManifestReference(**raw["manifest"]),
            trees={tree: Amount(**amount) for tree, amount in raw["trees"].items()},
            upload=Amount(**raw["upload"]),
            version=raw["version"],
            data=raw.get("data", DAILY_DIRECTORY),
            board=raw.get("board", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedPointError(
            f"{name} is not a seal ({error!r})", "Choose another restore point"
        ) from error


def point_id(epoch_seconds: float) -> str:
    """The name of the point of a night that started at *epoch_seconds*."""
    return datetime.fromtimestamp(epoch_seconds, timezone.utc).strftime(_ID_FORMAT)


def rfc3339(epoch_seconds: float) -> str:
    """*epoch_seconds* as UTC with whole seconds."""
    return datetime.fromtimestamp(epoch_seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_of_point(identifier: str) -> float:
    """The start time that the point's name tells, in seconds since 1970."""
    return datetime.strptime(identifier, _ID_FORMAT).replace(tzinfo=timezone.utc).timestamp()


def is_point_id(text: str) -> bool:
    """Whether *text* can be the name of a point: none began in a thirteenth month."""
    if not _ID.fullmatch(text):
        return False
    try:
        epoch_of_point(text)
    except ValueError:
        return False
    return True


def seal_path(identifier: str) -> str:
    """The seal of a point, below the crypt remote."""
    return f"{POINTS_DIRECTORY}/{identifier}.json"


def manifest_path(identifier: str) -> str:
    """The manifest of a point, below the crypt remote."""
    return f"{MANIFESTS_DIRECTORY}/{identifier}{_MANIFEST_SUFFIX}"


def ids_of_seals(names: Iterable[str]) -> List[str]:
    """The points whose seals are among the file *names* of the points directory, oldest first."""
    stems = (name[: -len(".json")] for name in names if name.endswith(".json"))
    return sorted(filter(is_point_id, stems))


def ids_of_manifests(names: Iterable[str]) -> List[str]:
    """The nights whose manifests are among the file *names* of their directory, oldest first."""
    stems = (name[: -len(_MANIFEST_SUFFIX)] for name in names if name.endswith(_MANIFEST_SUFFIX))
    return sorted(filter(is_point_id, stems))


def choose_point(identifiers: Sequence[str], wanted: str) -> str:
    """The point that *wanted* means: ``daily`` the newest, a timestamp the last one by then.

    *identifiers* are sorted, oldest first. Timestamps without a zone are UTC; a bare date means
    the end of that day, and a minute its end: the night of 02:00 begins a second or two later.
    Raises :class:`BackupError` when there is none, :class:`ConfigError` when *wanted* can't be
    read.
    """
    limit = _END_OF_TIME if wanted == "daily" else _parse_timestamp(wanted)
    if not identifiers:
        raise BackupError(
            "there is no sealed night under this prefix",
            "Check lepotato_backup_bucket and lepotato_backup_host_prefix, or run "
            "backup-to-b2.sh first",
        )
    older = [identifier for identifier in identifiers if identifier <= limit]
    if not older:
        raise BackupError(
            f"no night was sealed by {wanted}: the oldest is {identifiers[0]}",
            "List them with restore-from-b2.sh and choose one",
        )
    return older[-1]


def _parse_timestamp(text: str) -> str:
    limit = text
    match = _TIMESTAMP.fullmatch(text)
    if match:
        day, minute, second = match.groups()
        limit = re.sub("[-:]", "", f"{day}T{minute or '23:59'}{second or ':59'}Z")
    if is_point_id(limit):
        return limit
    raise ConfigError(
        f"'{text}' is no restore point",
        "Say daily, or a time such as 2026-11-22T02:00Z; restore-from-b2.sh alone lists them",
    )
