# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B2's calls by the class they are billed in.

The classes are those of https://www.backblaze.com/cloud-storage/transaction-pricing (2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass

_CLASS_B = frozenset({"b2_download_file_by_id", "b2_download_file_by_name", "b2_get_file_info"})
_CLASS_C = frozenset(
    {
        "b2_authorize_account",
        "b2_copy_file",
        "b2_copy_part",
        "b2_create_bucket",
        "b2_create_key",
        "b2_get_download_authorization",
        "b2_list_buckets",
        "b2_list_file_names",
        "b2_list_file_versions",
        "b2_list_keys",
        "b2_list_parts",
        "b2_list_unfinished_large_files",
        "b2_update_bucket",
    }
)


@dataclass(frozen=True)
class Calls:
    """Numbers of calls of each class; those of class A (uploads, hides) are free."""

    class_a: int = 0
    class_b: int = 0
    class_c: int = 0

    def __add__(self, other: Calls) -> Calls:
        return Calls(
            self.class_a + other.class_a,
            self.class_b + other.class_b,
            self.class_c + other.class_c,
        )


class CallCounter:
    """Adds up what a run asks of B2: its own calls as they are made, rclone's as estimated."""

    def __init__(self) -> None:
        self.calls = Calls()

    def count(self, name: str) -> None:
        """One call of our own, by its name."""
        self.add(calls_of(name))

    def add(self, calls: Calls) -> None:
        """Some calls more."""
        self.calls = self.calls + calls


def calls_of(name: str) -> Calls:
    """One call of that name."""
    if name in _CLASS_B:
        return Calls(class_b=1)
    return Calls(class_c=1) if name in _CLASS_C else Calls(class_a=1)
