# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of calls, by name and by billing class, and of bytes."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

# Backblaze's "transactions" price list; a call that isn't listed here is class A (free).
_CLASS_B = {"b2_download_file_by_id", "b2_download_file_by_name", "b2_get_file_info"}
_CLASS_C = {
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


def billing_class(call: str) -> str:
    """The class, "A", "B" or "C", of a call."""
    if call in _CLASS_B:
        return "B"
    return "C" if call in _CLASS_C else "A"


class Stats:
    """Thread-safe counters since the start or the last reset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        with self._lock:
            self._calls: Counter[str] = Counter()
            self._classes: Counter[str] = Counter()
            self._statuses: Counter[str] = Counter()
            self._errors: Counter[str] = Counter()
            self._bytes: Counter[str] = Counter()
            self._running = 0
            self._running_max = 0

    def begin(self) -> None:
        """A request begins."""
        with self._lock:
            self._running += 1
            self._running_max = max(self._running_max, self._running)

    def end(self, call: str, status: int, code: str | None, billed: int) -> None:
        """A request is over; status 0 stands for a connection that was reset."""
        with self._lock:
            self._running -= 1
            self._calls[call] += 1
            self._classes[billing_class(call)] += billed
            self._statuses[str(status)] += 1
            if code is not None:
                self._errors[code] += 1

    def add_bytes(self, kind: str, count: int) -> None:
        """Count bytes of a kind: in, out (all bodies), uploaded, downloaded (files' content)."""
        with self._lock:
            self._bytes[kind] += count

    def answer(self) -> dict[str, Any]:
        """All counters as JSON."""
        with self._lock:
            return {
                "calls": dict(sorted(self._calls.items())),
                "calls_total": sum(self._calls.values()),
                "classes": {name: self._classes[name] for name in "ABC"},
                "statuses": dict(sorted(self._statuses.items())),
                "errors": dict(sorted(self._errors.items())),
                "bytes_in": self._bytes["in"],
                "bytes_out": self._bytes["out"],
                "bytes_uploaded": self._bytes["uploaded"],
                "bytes_downloaded": self._bytes["downloaded"],
                "concurrent_requests_max": self._running_max,
            }
