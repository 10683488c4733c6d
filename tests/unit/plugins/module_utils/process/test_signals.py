# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
from typing import Iterator

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.signal_shield import shielded
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise


@pytest.fixture(autouse=True)
def handler_of_sighup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_what_goes_on_after_an_error_does_not_go_on_after_a_signal() -> None:
    with (
        signals_raise(),
        pytest.raises(Interrupted, match="stopped by SIGTERM"),
        contextlib.suppress(BackupError, OSError),
    ):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_hangup_that_nohup_had_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals_raise(), shielded() as shield, shield.interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_hangup_of_the_terminal_ends_the_run() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with signals_raise(), pytest.raises(Interrupted, match="SIGHUP"):
        os.kill(os.getpid(), signal.SIGHUP)
