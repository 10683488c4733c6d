# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for names, with a resolver that comes back."""

from __future__ import annotations

import socket
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.night.wait_for_dns import (
    wait_for_names,
)


class Told:
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warning(self, message: str) -> None:
        self.lines.append(f"warning {message}")

    def step(self, name: str) -> None:
        self.lines.append(f"step {name}")


def test_a_name_that_resolves_costs_no_wait_and_no_line() -> None:
    told = Told()
    assert wait_for_names("localhost", 5, told) == 0.0
    assert told.lines == []


def test_it_waits_until_the_resolver_is_back_and_says_so() -> None:
    told = Told()
    left = [3]

    def resolve(host: str) -> object:
        left[0] -= 1
        if left[0]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return host

    assert wait_for_names("api.example", 5, told, resolve=resolve, poll_seconds=0.01) > 0
    assert len(told.lines) == 2
    assert "waiting for names: api.example does not resolve yet" in told.lines[0]
    assert "names resolve again" in told.lines[1]


def test_a_name_that_never_resolves_is_an_error_that_says_what_to_look_at() -> None:
    def resolve(_host: str) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(BackupError, match=r"api.example does not resolve .*Pi-hole"):
        wait_for_names("api.example", 0.05, Told(), resolve=resolve, poll_seconds=0.01)
