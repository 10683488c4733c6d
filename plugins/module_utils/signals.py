# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals as exceptions, so that every ``finally`` runs before the program ends."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType
from typing import Iterator, Optional

from .errors import Interrupted

# SIGHUP too: a closed terminal must not leave containers stopped.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """While in the block, SIGTERM, SIGINT and SIGHUP raise :class:`Interrupted`."""
    before = {number: signal.signal(number, _raise_interrupted) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_interrupted(number: int, _frame: Optional[FrameType]) -> None:
    raise Interrupted(number, signal.Signals(number).name)
