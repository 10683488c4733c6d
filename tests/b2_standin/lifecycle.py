# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifecycle rules, applied as B2 does once a day.

- daysFromUploadingToHiding: the current version gets a hide marker that many days after upload.
- daysFromHidingToDeleting: a version that was replaced or hidden goes that many days after that;
  a hide marker goes, as old as that, when nothing older is left below it.
- daysFromStartingToCancelingUnfinishedLargeFiles: an unfinished large file is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from .buckets import Buckets
from .clock import DAY_MS, Clock
from .database import Database
from .versions import COLUMNS, Version, Versions


class Lifecycle:
    """Applies the buckets' rules at the clock's time."""

    def __init__(
        self, database: Database, clock: Clock, buckets: Buckets, versions: Versions
    ) -> None:
        self._database = database
        self._clock = clock
        self._buckets = buckets
        self._versions = versions

    def apply(self) -> dict[str, int]:
        """Apply all rules once; returns how many versions were hidden, deleted, cancelled."""
        counts = {"hidden": 0, "deleted": 0, "cancelled": 0}
        with self._database.transaction():
            for bucket in self._buckets.all():
                for rule in bucket.lifecycle_rules:
                    for versions in self._undecided(bucket.bucket_id, rule):
                        self._apply_to_name(rule, versions, counts)
        return counts

    def advance_ms(self, milliseconds: int) -> dict[str, int]:
        """Move the clock forward day by day, applying the rules after every day."""
        total = {"hidden": 0, "deleted": 0, "cancelled": 0}
        while milliseconds > 0:
            step = min(milliseconds, DAY_MS)
            self._clock.advance_ms(step)
            milliseconds -= step
            for name, count in self.apply().items():
                total[name] += count
        return total

    def _undecided(self, bucket_id: str, rule: dict[str, Any]) -> Iterator[list[Version]]:
        """The versions, newest first, of each name under the rule that it may have work for."""
        names = "SELECT name FROM files WHERE bucket_id = ? AND name >= ? AND name < ?"
        if rule["daysFromUploadingToHiding"] is None:
            names += " GROUP BY name HAVING COUNT(*) > 1 OR MAX(action != 'upload')"
        prefix = rule["fileNamePrefix"]
        rows = self._database.connection.execute(
            f"SELECT {COLUMNS} FROM files WHERE bucket_id = ? AND name IN ({names})"
            " ORDER BY name, minus_ms, minus_seq",
            (bucket_id, bucket_id, prefix, prefix + chr(0x10FFFF)),
        ).fetchall()
        for _name, group in groupby((Version(*row) for row in rows), key=lambda item: item.name):
            yield list(group)

    def _apply_to_name(
        self, rule: dict[str, Any], versions: list[Version], counts: dict[str, int]
    ) -> None:
        now_ms = self._clock.now_ms()
        cancel_days = rule["daysFromStartingToCancelingUnfinishedLargeFiles"]
        finished = []
        for version in versions:
            if version.action != "start":
                finished.append(version)
            elif cancel_days is not None and _is_older(version.uploaded_ms, cancel_days, now_ms):
                self._versions.remove(version)
                counts["cancelled"] += 1
        hide_days = rule["daysFromUploadingToHiding"]
        if hide_days is not None and finished and finished[0].action == "upload":
            current = finished[0]
            if _is_older(current.uploaded_ms, hide_days, now_ms):
                finished.insert(0, self._versions.hide(current.bucket_id, current.name, now_ms))
                counts["hidden"] += 1
        delete_days = rule["daysFromHidingToDeleting"]
        if delete_days is None:
            return
        kept = finished[:1]
        for newer, version in zip(finished, finished[1:]):
            if _is_older(newer.uploaded_ms, delete_days, now_ms) and not self._versions.is_locked(
                version
            ):
                self._versions.remove(version)
                counts["deleted"] += 1
            else:
                kept.append(version)
        oldest = kept[-1] if kept else None
        if (
            oldest is not None
            and oldest.action == "hide"
            and _is_older(oldest.uploaded_ms, delete_days, now_ms)
        ):
            self._versions.remove(oldest)
            counts["deleted"] += 1


def _is_older(moment_ms: int, days: int, now_ms: int) -> bool:
    return moment_ms + days * DAY_MS <= now_ms
