# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers come back within seconds when the program itself is killed (out of memory, kill -9).

A killed program runs no ``finally``. Beside it waits a shell, 1 MB small, on a pipe: a program
that ends in any way of its own says so there; when it dies, the pipe just closes, and the shell
becomes ``lepotato-backup recover``. What ends both at once (a power cut, the kill of a whole
cgroup) is left to the boot recovery and to the next run.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import Iterator, List, Optional, Sequence

from .signals import signals_held

_WAIT = 'read -r word || exec "$@"'
_COMMAND_LINE_PATH = "/proc/self/cmdline"


def called_as(arguments: Sequence[str]) -> List[str]:
    """The command line of this process without *arguments*, its last words.

    Empty when these are not its last words: somebody calls the program from within Python.
    """
    with open(_COMMAND_LINE_PATH, "rb") as stream:
        words = [os.fsdecode(word) for word in stream.read().split(b"\0")[:-1]]
    count = len(words) - len(arguments)
    return words[:count] if words[count:] == list(arguments) else []


@contextmanager
def guarded(recover_command: Sequence[str]) -> Iterator[None]:
    """While in the block, have *recover_command* run should this process be killed.

    An empty command: nothing waits. Raises :class:`OSError` when the shell can't be started.
    """
    if not recover_command:
        yield
        return
    reading, writing = os.pipe()
    waiting: Optional[subprocess.Popen[bytes]] = None
    try:
        try:
            # A signal that raised before the shell is known would close the pipe without a word.
            with signals_held():
                # A session of its own: what ends the program's process group leaves it waiting.
                waiting = subprocess.Popen(
                    ["/bin/sh", "-c", _WAIT, "sh", *recover_command],
                    stdin=reading,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        finally:
            os.close(reading)
        yield
    finally:
        with signals_held():
            _end(waiting, writing)


def _end(waiting: Optional[subprocess.Popen[bytes]], writing: int) -> None:
    """Tell the shell, if it was started, that nothing is to follow, and see it gone."""
    try:
        os.write(writing, b"ended\n")
    except BrokenPipeError:
        # It was not started, or somebody killed it: there is nobody left to tell.
        pass
    finally:
        os.close(writing)
    if waiting is not None:
        waiting.wait()
