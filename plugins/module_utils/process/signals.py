# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals as exceptions, so that every ``finally`` runs before the program ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Iterator, List, Optional

from ..base.errors import Interrupted

# SIGHUP too: a closed terminal must not leave containers stopped.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """While in the block, SIGTERM, SIGINT and SIGHUP raise :class:`Interrupted`.

    A SIGHUP that is ignored stays so: who started a night with nohup means it to outlive the
    terminal.
    """
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number in ENDING_SIGNALS:
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:
            signal.signal(number, _raise_interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Have :class:`Interrupted` raised at the end of the block instead of within.

    For the start of a child, which must not be lost to the exception. To block the signals is
    not enough: the kernel gives them to another thread then, and Python raises in this one.
    """
    global _held  # pylint: disable=global-statement
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = _held = []
    try:
        yield
    finally:
        _held = None
        if held:
            _raise_interrupted(held[0], None)


_held: Optional[List[int]] = None


def _raise_interrupted(number: int, _frame: Optional[FrameType]) -> None:
    if _held is not None:
        _held.append(number)
        return
    raise Interrupted(number, signal.Signals(number).name)
