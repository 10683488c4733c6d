# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep signals off the work that must not break off: starting what was stopped.

The program's signal handlers raise an exception in the main thread. Inside :func:`shielded`
signals are kept for later, except inside its :meth:`Shield.interruptible` parts, where the
first signal still raises, and closes the part before it does, so that a second signal can
not raise while the first one's exception travels to the ``finally`` that starts containers.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Dict, Iterator, List, Optional

from .signals import signals_held

SHIELDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Shield:
    """The signals that came in while they were kept off, and the way to let them in."""

    def __init__(self) -> None:
        self._open = False
        self._pending: List[int] = []
        self._before: Dict[int, Any] = {}

    def check(self) -> None:
        """Deliver a signal that was kept; the program's handler raises from here."""
        if self._pending:
            self._deliver(self._pending.pop(0), None)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let signals through: the first one raises here and closes this part."""
        self.check()
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def _install(self) -> None:
        # Python runs handlers in the main thread only, and only there they can be set.
        if threading.current_thread() is not threading.main_thread():
            return
        handlers = {number: signal.getsignal(number) for number in SHIELDED_SIGNALS}
        # What is ignored (nohup) must not break off an interruptible part either.
        self._before = {
            number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN
        }
        for number in self._before:
            signal.signal(number, self._handle)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: the handler was not set from Python and can't be put back from here.
            if handler is not None:
                signal.signal(number, handler)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self._open:
            self._open = False
            self._deliver(number, frame)
        elif number not in self._pending:
            self._pending.append(number)

    def _deliver(self, number: int, frame: Optional[FrameType]) -> None:
        handler = self._before.get(number)
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def shielded() -> Iterator[Shield]:
    """Keep SIGTERM, SIGINT and SIGHUP until the end of the block, then deliver the first.

    The handlers that were installed before get them: a handler that raises does so from the
    end of the block, unless an exception is already on its way out of it.
    """
    shield = Shield()
    try:
        # One that raised between two of the handlers would leave the shield's on the rest for ever.
        with signals_held():
            shield._install()
        yield shield
    finally:
        with signals_held():
            shield._restore()
    shield.check()
