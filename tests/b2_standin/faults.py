# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on demand. Nothing is random: a rule counts the calls it matches and fires by number."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import B2Error, bad_auth_token, bad_request, expired_auth_token, unauthorized

# What a rule does, beyond the errors of _error().
KINDS = (
    "expired_token",  # 401 expired_auth_token
    "revoked",  # 401 bad_auth_token, and 401 unauthorized of b2_authorize_account
    "unauthorized",  # 401 unauthorized
    "too_many_requests",  # 429 with Retry-After
    "service_unavailable",  # 503 with Retry-After
    "internal_error",  # 500
    "cap_exceeded",  # 403; ``code`` may be storage_cap_exceeded, transaction_cap_exceeded
    "reset",  # the connection is reset after ``after_bytes`` of the body, up or down
    "lost_response",  # the call is done, then the connection is reset instead of an answer
    "delay",  # ``seconds`` before the call is handled; less when the rules are cleared
    "slow",  # ``bytes_per_second`` for the body of this call
)


@dataclass
class Rule:
    """When a fault fires: of the calls that match, skip some, then every Nth, so many times."""

    kind: str
    calls: list[str] = field(default_factory=list)  # names; empty: every API call
    skip: int = 0
    every: int = 1
    count: int = 1  # 0: until cleared
    after_bytes: int = 0
    retry_after_seconds: int | None = None
    seconds: float = 0.0
    bytes_per_second: int = 0
    code: str | None = None
    key_id: str | None = None  # only calls of this key
    name_contains: str | None = None  # only uploads and downloads of such a file name
    rule_id: int = 0
    matched: int = 0
    fired: int = 0


@dataclass
class Plan:
    """What is to go wrong with one call."""

    error: B2Error | None = None
    reset_after_bytes: int | None = None
    is_response_lost: bool = False
    delay_seconds: float = 0.0
    bytes_per_second: int = 0
    is_cleared: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Wait as long as the call is to be delayed and the rules are in force."""
        if self.delay_seconds:
            self.is_cleared.wait(self.delay_seconds)


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last_id = 0
        self._is_cleared = threading.Event()

    def add(self, values: dict[str, Any]) -> int:
        """Add a rule from JSON; returns its ID. 400 for an unknown kind or field."""
        if values.get("kind") not in KINDS:
            raise bad_request(f"kind must be one of {', '.join(KINDS)}")
        try:
            rule = Rule(**values)
        except TypeError as error:
            raise bad_request(str(error)) from error
        if rule.every < 1 or rule.skip < 0 or rule.count < 0:
            raise bad_request("every must be at least 1, skip and count at least 0")
        with self._lock:
            self._last_id += 1
            rule.rule_id, rule.matched, rule.fired = self._last_id, 0, 0
            self._rules.append(rule)
        return rule.rule_id

    def clear(self) -> None:
        """Drop all rules, and handle the calls that they delay."""
        with self._lock:
            self._rules.clear()
            self._is_cleared.set()
            self._is_cleared = threading.Event()

    def answer(self) -> list[dict[str, Any]]:
        """The rules with how often they matched and fired."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def plan(self, call: str, key_id: str | None, file_name: str | None) -> Plan:
        """Count a call and say what is to go wrong with it."""
        with self._lock:
            plan = Plan(is_cleared=self._is_cleared)
            for rule in self._rules:
                if _matches(rule, call, key_id, file_name) and _fires(rule):
                    _apply(rule, call, plan)
        return plan


def _matches(rule: Rule, call: str, key_id: str | None, file_name: str | None) -> bool:
    if rule.calls and call not in rule.calls:
        return False
    if rule.key_id is not None and rule.key_id != key_id:
        return False
    return rule.name_contains is None or rule.name_contains in (file_name or "")


def _fires(rule: Rule) -> bool:
    if rule.count and rule.fired >= rule.count:
        return False
    rule.matched += 1
    if rule.matched <= rule.skip or (rule.matched - rule.skip - 1) % rule.every:
        return False
    rule.fired += 1
    return True


def _apply(rule: Rule, call: str, plan: Plan) -> None:
    if rule.kind == "reset":
        plan.reset_after_bytes = rule.after_bytes
    elif rule.kind == "lost_response":
        plan.is_response_lost = True
    elif rule.kind == "delay":
        plan.delay_seconds += rule.seconds
    elif rule.kind == "slow":
        plan.bytes_per_second = rule.bytes_per_second
    elif plan.error is None:
        plan.error = _error(rule, call)


def _error(rule: Rule, call: str) -> B2Error:
    headers: dict[str, str] = {}
    if rule.retry_after_seconds is not None:
        headers["Retry-After"] = str(rule.retry_after_seconds)
    if rule.kind == "expired_token":
        return expired_auth_token()
    if rule.kind == "revoked":
        return unauthorized("") if call == "b2_authorize_account" else bad_auth_token()
    if rule.kind == "unauthorized":
        return unauthorized()
    if rule.kind == "too_many_requests":
        return B2Error(429, rule.code or "too_many_requests", "too many requests", headers)
    if rule.kind == "service_unavailable":
        return B2Error(503, rule.code or "service_unavailable", "no tomes available", headers)
    if rule.kind == "internal_error":
        return B2Error(500, rule.code or "internal_error", "internal error", headers)
    return B2Error(403, rule.code or "cap_exceeded", "Cannot upload files, storage cap exceeded.")
