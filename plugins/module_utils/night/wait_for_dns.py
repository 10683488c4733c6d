# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until names resolve again before the upload starts.

Where the Potato resolves names through its own Pi-hole, the capture has just restarted the
resolver that the upload needs.
"""

from __future__ import annotations

import socket
import time
from typing import Callable

from ..base.errors import BackupError
from ..base.journal import Journal

POLL_SECONDS = 1.0


def wait_for_names(
    host: str,
    timeout_seconds: float,
    journal: Journal,
    *,
    resolve: Callable[[str], object] = lambda host: socket.getaddrinfo(host, None),
    poll_seconds: float = POLL_SECONDS,
) -> float:
    """Return the seconds waited until *host* resolves; 0.0 when it does at once.

    Raises :class:`BackupError` when it still does not after *timeout_seconds*.
    """
    began = time.monotonic()
    announced = False
    while True:
        try:
            resolve(host)
        except OSError as error:
            waited = time.monotonic() - began
            if waited >= timeout_seconds:
                raise BackupError(
                    f"the name {host} does not resolve after {waited:.0f} s: {error}",
                    "Is the resolver up (Pi-hole, the router)? See /etc/resolv.conf. "
                    "The capture is good, and the next run uploads it",
                ) from error
            if not announced:
                journal.info(f"waiting for names: {host} does not resolve yet ({error})")
                announced = True
            time.sleep(poll_seconds)
        else:
            waited = time.monotonic() - began
            if announced:
                journal.info(f"names resolve again after {waited:.1f} s")
                return waited
            return 0.0
