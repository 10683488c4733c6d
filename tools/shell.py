# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: quietly with their output kept, or with it in a log file."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

# How much of a failed program's output goes into the message: enough for a traceback.
TAIL_LINES = 40
INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)


def run(
    argv: Sequence[str],
    *,
    cwd: Optional[Path] = None,
    env: Optional[Mapping[str, str]] = None,
    stdin: str = "",
    timeout_seconds: float = 600,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run *argv* and keep its output; *env* is added to this process's environment.

    Raises:
        ToolError: it can't be started, ran too long, was interrupted, or ended non-zero and
            *check* is set.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout_seconds,
            check=False,
        )
    except OSError as error:
        raise ToolError(f"{argv[0]} can't be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{shlex.join(argv)} ran longer than {timeout_seconds:g} s") from error
    if done.returncode in INTERRUPTED:
        # Ctrl-C reaches every program at once: that is no answer to what was asked.
        raise ToolError(f"{shlex.join(argv)} was interrupted")
    if check and done.returncode != 0:
        raise ToolError(
            f"{shlex.join(argv)} ended with {done.returncode}:\n{tail(done.stdout + done.stderr)}"
        )
    return done


def run_logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Optional[Path] = None,
    env: Optional[Mapping[str, str]] = None,
    timeout_seconds: float = 1800,
) -> int:
    """Run *argv* with both of its outputs appended to *log*; return its exit code.

    A time-out ends it and counts as exit code 124, as with coreutils' timeout.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        stream.write(f"$ {shlex.join(argv)}\n".encode())
        stream.flush()
        try:
            return subprocess.run(
                list(argv),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            stream.write(f"\nstopped after {timeout_seconds:g} s\n".encode())
            return 124
        except OSError as error:
            stream.write(f"\n{argv[0]} can't be started: {error}\n".encode())
            return 127


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last *lines* lines of *text*."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


class ToolError(Exception):
    """A step of the tools failed; the text says which and with what output."""
