# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bucket's settings must become so that it keeps the history that restores need.

Pure: settings in, settings out. Nothing that protects more than was asked for is taken back
unless somebody says so. B2 refuses two rules that cover the same file, and a rule that does nothing
(https://www.backblaze.com/docs/cloud-storage-lifecycle-rules).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..base.errors import BackupError

PREFIX = "fileNamePrefix"
HIDE = "daysFromUploadingToHiding"
DELETE = "daysFromHidingToDeleting"
CANCEL = "daysFromStartingToCancelingUnfinishedLargeFiles"

GOVERNANCE = "governance"


@dataclass(frozen=True)
class Wanted:
    """What is asked for. *prefix* is what the lifecycle rule covers ("" is the whole bucket);
    *lock_days* is the retention of new files with Object Lock, 0 for none."""

    history_days: int
    cancel_days: int
    prefix: str = ""
    encryption: bool = False
    object_lock: bool = False
    lock_days: int = 0


@dataclass(frozen=True)
class Settings:
    """What a bucket has. *lock_mode* and *lock_days* are its default retention ("" and 0: none)."""

    private: bool = True
    rules: Tuple[Mapping[str, Any], ...] = ()
    encryption: bool = False
    object_lock: bool = False
    lock_mode: str = ""
    lock_days: int = 0

    def told(self) -> Dict[str, Any]:
        """The settings for people and diffs."""
        raw = dataclasses.asdict(self)
        raw["rules"] = [
            {name: value for name, value in rule.items() if value is not None}
            for rule in self.rules
        ]
        return raw


@dataclass(frozen=True)
class Plan:
    """What the settings become; *kept* says in words what was stronger and stays."""

    settings: Settings
    kept: Tuple[str, ...]


def plan(now: Optional[Settings], wanted: Wanted, allow_weaker: bool = False) -> Plan:
    """The settings that the bucket must get; *now* is None for a bucket that is not there.

    Raises :class:`BackupError` when another rule of the bucket covers some of the same files.
    """
    kept: List[str] = []
    before = now or Settings()
    rule = _rule(_find(before.rules, wanted.prefix), wanted, allow_weaker, kept)
    others = [one for one in before.rules if one[PREFIX] != wanted.prefix]
    _check_overlap(others, wanted.prefix)
    rules = sorted([*others, rule], key=lambda one: str(one[PREFIX]))
    same = sorted(map(_normal, before.rules), key=lambda one: str(one[PREFIX])) == [
        _normal(one) for one in rules
    ]
    lock_mode, lock_days = _retention(before, wanted, allow_weaker, kept)
    settings = Settings(
        private=True,
        rules=before.rules if same else tuple(rules),
        encryption=before.encryption or wanted.encryption,
        # It can't be taken away again.
        object_lock=before.object_lock or wanted.object_lock,
        lock_mode=lock_mode,
        lock_days=lock_days,
    )
    return Plan(settings, tuple(kept))


def _find(rules: Tuple[Mapping[str, Any], ...], prefix: str) -> Optional[Mapping[str, Any]]:
    return next((rule for rule in rules if rule[PREFIX] == prefix), None)


def _normal(rule: Mapping[str, Any]) -> Dict[str, Any]:
    return {PREFIX: rule[PREFIX], **{name: rule.get(name) for name in (HIDE, DELETE, CANCEL)}}


def _rule(
    old: Optional[Mapping[str, Any]], wanted: Wanted, allow_weaker: bool, kept: List[str]
) -> Dict[str, Any]:
    days: Optional[int] = wanted.history_days
    if old is not None and not allow_weaker:
        had = old.get(DELETE)
        if had is None:
            kept.append("old versions are kept for ever; allow_weaker limits them")
            days = None
        elif had is not None and had > wanted.history_days:
            kept.append(
                f"old versions are kept for {had} days, more than the {wanted.history_days} asked "
                "for; allow_weaker shortens it"
            )
            days = had
    # A rule that hides current files would take the backup itself away.
    return {PREFIX: wanted.prefix, HIDE: None, DELETE: days, CANCEL: wanted.cancel_days}


def _retention(
    now: Settings, wanted: Wanted, allow_weaker: bool, kept: List[str]
) -> Tuple[str, int]:
    mode = GOVERNANCE if wanted.lock_days else ""
    if allow_weaker or not now.lock_days:
        return mode, wanted.lock_days
    if wanted.lock_days and wanted.lock_days < now.lock_days:
        kept.append(
            f"files are locked for {now.lock_days} days, more than the {wanted.lock_days} asked "
            "for; allow_weaker shortens it"
        )
    return now.lock_mode, max(now.lock_days, wanted.lock_days)


def _check_overlap(others: List[Mapping[str, Any]], prefix: str) -> None:
    for rule in others:
        other = str(rule[PREFIX])
        if other.startswith(prefix) or prefix.startswith(other):
            raise BackupError(
                f"the bucket has a lifecycle rule for '{other}', and B2 takes no second one, for "
                f"'{prefix}', that covers some of the same files",
                "Remove that rule (the bucket's Lifecycle Settings), or set prefix to names that "
                "it does not cover",
            )
