# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own API below /standin/: JSON in, JSON out, no authorization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import listing
from .accounts import ALL_CAPABILITIES, BUCKET_CAPABILITIES, Key, key_answer
from .buckets import Bucket, bucket_answer
from .errors import bad_request, not_found
from .params import Params
from .service import Service
from .shaping import link_from
from .versions import Version, version_answer

_API_VERSION = 4
_EVERYTHING = 2**62


class Admin:
    """Dispatches by method and name."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._handlers: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "health"): lambda _values: {"ok": True},
            ("GET", "stats"): lambda _values: service.stats.answer(),
            ("POST", "stats/reset"): self._reset_stats,
            ("GET", "clock"): lambda _values: self._clock_answer(),
            ("POST", "clock"): self._move_clock,
            ("POST", "lifecycle"): lambda _values: service.lifecycle.apply(),
            ("GET", "faults"): lambda _values: {"faults": service.faults.answer()},
            ("POST", "faults"): lambda values: {"rule_id": service.faults.add(values)},
            ("POST", "faults/clear"): self._clear_faults,
            ("GET", "link"): lambda _values: service.shaper.answer(),
            ("POST", "link"): self._set_link,
            ("POST", "tokens/expire"): lambda _values: {
                "expired": service.accounts.expire_tokens()
            },
            ("GET", "buckets"): lambda _values: {
                "buckets": [self._bucket_answer(item) for item in service.buckets.all()]
            },
            ("POST", "buckets"): self._create_bucket,
            ("GET", "keys"): lambda _values: {
                "keys": [
                    self._key_answer(key) for key in service.accounts.list(None, _EVERYTHING)[0]
                ]
            },
            ("POST", "keys"): self._create_key,
            ("POST", "keys/delete"): self._delete_key,
            ("GET", "files"): self._list_files,
            ("POST", "damage"): self._damage,
            ("POST", "wipe"): self._wipe,
        }

    def handle(self, method: str, name: str, values: dict[str, Any]) -> Any:
        """The answer of an admin call; raises B2Error."""
        handler = self._handlers.get((method, name))
        if handler is None:
            raise not_found(f"no such admin call: {method} {name}")
        return handler(values)

    def _reset_stats(self, _values: dict[str, Any]) -> dict[str, Any]:
        self._service.stats.reset()
        return {}

    def _wipe(self, _values: dict[str, Any]) -> dict[str, Any]:
        self._service.wipe()
        return {}

    def _clear_faults(self, _values: dict[str, Any]) -> dict[str, Any]:
        self._service.faults.clear()
        return {}

    def _set_link(self, values: dict[str, Any]) -> dict[str, Any]:
        self._service.shaper.set(link_from(Params(values), values))
        return self._service.shaper.answer()

    def _clock_answer(self) -> dict[str, Any]:
        clock = self._service.clock
        return {"now_ms": clock.now_ms(), "offset_ms": clock.offset_ms}

    def _move_clock(self, values: dict[str, Any]) -> dict[str, Any]:
        """``advance_seconds`` or ``set_seconds`` (since the epoch), ``lifecycle`` (default true).

        Going forward with ``lifecycle`` applies the rules after every simulated day.
        """
        clock = self._service.clock
        if "advance_seconds" in values:
            milliseconds = round(float(values["advance_seconds"]) * 1000)
        elif "set_seconds" in values:
            milliseconds = round(float(values["set_seconds"]) * 1000) - clock.now_ms()
        else:
            raise bad_request("advance_seconds or set_seconds is needed")
        applied: dict[str, int] = {}
        if milliseconds > 0 and values.get("lifecycle", True):
            applied = self._service.lifecycle.advance_ms(milliseconds)
        else:
            clock.advance_ms(milliseconds)
        return {**self._clock_answer(), **applied}

    def _create_bucket(self, values: dict[str, Any]) -> dict[str, Any]:
        bucket = self._service.buckets.create(Params({"bucketType": "allPrivate", **values}))
        return self._bucket_answer(bucket)

    def _create_key(self, values: dict[str, Any]) -> dict[str, Any]:
        """``buckets`` by name; ``capabilities`` default to all that it can have."""
        params = Params(values)
        bucket_ids = None
        if params.has("buckets"):
            bucket_ids = [self._bucket(name).bucket_id for name in params.text_list("buckets")]
        key = self._service.accounts.create(
            params.optional_text("name") or "test",
            params.text_list("capabilities")
            if params.has("capabilities")
            else list(ALL_CAPABILITIES if bucket_ids is None else BUCKET_CAPABILITIES),
            bucket_ids,
            params.optional_text("prefix"),
            params.optional_number("valid_seconds"),
        )
        return {**self._key_answer(key), "applicationKey": key.secret}

    def _delete_key(self, values: dict[str, Any]) -> dict[str, Any]:
        key_id = Params(values).text("applicationKeyId")
        return self._key_answer(self._service.accounts.delete(key_id))

    def _list_files(self, values: dict[str, Any]) -> dict[str, Any]:
        """All versions in ``bucket`` below ``prefix``, newest first within a name."""
        params = Params(values)
        query = listing.Query(
            self._bucket(params.text("bucket")).bucket_id,
            prefix=params.optional_text("prefix") or "",
            count=_EVERYTHING,
        )
        page = listing.list_versions(self._service.database, query)
        master = self._service.accounts.master()
        return {
            "files": [
                version_answer(entry, self._service.accounts.account_id, master, _API_VERSION)
                for entry in page.entries
                if isinstance(entry, Version)
            ]
        }

    def _damage(self, values: dict[str, Any]) -> dict[str, Any]:
        """``bucket`` and ``name`` (the current version) or ``file_id``; ``kind``; ``offset``."""
        params = Params(values)
        versions = self._service.versions
        if params.has("file_id"):
            version = versions.get(params.text("file_id"))
        else:
            bucket_id = self._bucket(params.text("bucket")).bucket_id
            latest = versions.latest(bucket_id, params.text("name"))
            if latest is None or latest.action != "upload":
                raise not_found(f"no such file: {params.text('name')}")
            version = latest
        self._service.damager.damage(
            version, params.text("kind"), params.optional_number("offset") or 0
        )
        return {"fileId": version.file_id}

    def _bucket(self, name: str) -> Bucket:
        bucket = self._service.buckets.by_name(name)
        if bucket is None:
            raise not_found(f"no such bucket: {name}")
        return bucket

    def _bucket_answer(self, bucket: Bucket) -> dict[str, Any]:
        accounts = self._service.accounts
        return bucket_answer(bucket, accounts.account_id, accounts.master())

    def _key_answer(self, key: Key) -> dict[str, Any]:
        return key_answer(key, self._service.accounts.account_id, _API_VERSION)
