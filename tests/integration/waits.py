# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what a test needs: it comes, or the test says what did not.

The limits are for what will never come. A machine that is busy may take long, and nobody waits for
longer than it takes.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Optional

WAIT_SECONDS = 240.0
POLL_SECONDS = 0.02


def wait_for(
    condition: Callable[[], bool],
    what: str,
    process: Optional[subprocess.Popen[Any]] = None,
    seconds: float = WAIT_SECONDS,
) -> None:
    """Poll *condition* until it is true; fails naming *what*.

    With *process*, also when that ends before: what it does is what is waited for.
    """
    deadline = time.monotonic() + seconds
    problem = ""
    while True:
        if process is not None and process.poll() is not None:
            problem = f"the process ended with {process.returncode} before: {what}"
        elif time.monotonic() >= deadline:
            problem = f"not after {seconds:g} s: {what}"
        # Asked last: what came just before the end has come.
        if condition():
            return
        if problem:
            if process is not None:
                process.kill()
            raise AssertionError(problem)
        time.sleep(POLL_SECONDS)


def wait_until_stopped(process: subprocess.Popen[Any], what: str) -> None:
    """Wait until a process has stopped itself (SIGSTOP) where *what* says."""
    state = Path(f"/proc/{process.pid}/stat")

    def is_stopped() -> bool:
        return state.exists() and state.read_text().rpartition(") ")[2][0] == "T"

    wait_for(is_stopped, what, process)
