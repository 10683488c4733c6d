# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PT012 # the blocks are what is tested: a signal raises from inside or from their end
"""Signals kept off, let in, and delivered late."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Iterator, List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import Interrupted
from ansible_collections.lepotato.backup.plugins.module_utils.process.signal_shield import (
    SHIELDED_SIGNALS,
    shielded,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    # These tests may themselves run under nohup.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with signals_raise():
        yield
    signal.signal(signal.SIGHUP, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    # The handler runs at the next bytecode boundary of the main thread.
    for _step in range(1000):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_waits_until_the_end_of_the_block(number: int) -> None:
    done: List[str] = []
    with pytest.raises(Interrupted) as caught, shielded():
        send(number)
        done.append("all of the block")
    assert done == ["all of the block"]
    assert caught.value.signal_number == number


def test_several_signals_raise_once() -> None:
    with pytest.raises(Interrupted), shielded():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)
    with pytest.raises(Interrupted):
        send(signal.SIGTERM)


def test_an_interruptible_part_is_broken_off_and_closed_by_the_first_signal() -> None:
    done: List[str] = []
    with pytest.raises(Interrupted) as caught, shielded() as shield:
        try:
            with shield.interruptible():
                send(signal.SIGTERM)
                done.append("never")
        finally:
            send(signal.SIGINT)
            done.append("started again")
    assert done == ["started again"]
    assert caught.value.signal_number == signal.SIGTERM


def test_check_delivers_what_was_kept() -> None:
    done: List[str] = []
    with pytest.raises(Interrupted), shielded() as shield:
        send(signal.SIGHUP)
        done.append("first stop")
        shield.check()
        done.append("second stop")
    assert done == ["first stop"]


def test_a_kept_signal_keeps_an_interruptible_part_from_beginning() -> None:
    done: List[str] = []
    with pytest.raises(Interrupted), shielded() as shield:
        send(signal.SIGTERM)
        with shield.interruptible():
            done.append("never")
    assert done == []


def test_an_error_on_its_way_out_is_not_replaced_by_a_signal() -> None:
    with pytest.raises(ValueError, match="the real reason"), shielded():
        send(signal.SIGTERM)
        raise ValueError("the real reason")


def test_the_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with shielded():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("changes", [1, 2, 4, 5])
def test_a_signal_between_two_handlers_leaves_none_of_the_shield_s(
    monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    before = [signal.getsignal(number) for number in SHIELDED_SIGNALS]
    original, made = signal.signal, []

    def change(number: int, handler: Any) -> Any:
        old = original(number, handler)
        made.append(number)
        if len(made) == changes:
            # The one whose handler comes last while the shield is raised, and first at its end.
            send(SHIELDED_SIGNALS[-1] if changes < 3 else SHIELDED_SIGNALS[0])
        return old

    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", change)
        with pytest.raises(Interrupted), shielded():
            pass
    assert [signal.getsignal(number) for number in SHIELDED_SIGNALS] == before


def test_it_does_nothing_outside_the_main_thread() -> None:
    done: List[str] = []

    def work() -> None:
        with shielded() as shield, shield.interruptible():
            done.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["done"]
