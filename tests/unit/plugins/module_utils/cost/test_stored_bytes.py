# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.lepotato.backup.plugins.module_utils.b2.api import FileVersion
from ansible_collections.lepotato.backup.plugins.module_utils.cost.stored_bytes import (
    Stored,
    sum_versions,
)

WEEKLY = "potato/WEEKLY/"


def version(name: str, action: str, size: int = 0) -> FileVersion:
    return FileVersion(name, f"id-{name}-{action}-{size}", action, size, 0)


def test_the_newest_is_current_and_what_is_below_it_history() -> None:
    versions = [version("potato/a", "upload", 10), version("potato/a", "upload", 200)]
    assert sum_versions(versions, WEEKLY) == Stored(10, 200, 0, 2)


def test_what_is_hidden_is_history() -> None:
    versions = [
        version("potato/a", "hide"),
        version("potato/a", "upload", 10),
        version("potato/b", "upload", 5),
    ]
    assert sum_versions(versions, WEEKLY) == Stored(5, 10, 0, 3)


def test_an_unfinished_upload_hides_nothing() -> None:
    versions = [version("potato/a", "start"), version("potato/a", "upload", 10)]
    assert sum_versions(versions, WEEKLY) == Stored(10, 0, 0, 2)


def test_weekly_copies_are_told_apart_until_they_expire() -> None:
    versions = [
        version("potato/WEEKLY/1", "hide"),
        version("potato/WEEKLY/1", "upload", 7),
        version("potato/WEEKLY/2", "upload", 30),
        version("potato/WEEKLYnot", "upload", 1),
    ]
    stored = sum_versions(versions, WEEKLY)
    assert stored == Stored(1, 7, 30, 4)
    assert stored.total == 38


def test_nothing_is_nothing() -> None:
    assert sum_versions([], WEEKLY) == Stored(0, 0, 0)
