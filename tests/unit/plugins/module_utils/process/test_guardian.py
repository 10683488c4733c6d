# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import Interrupted
from ansible_collections.lepotato.backup.plugins.module_utils.process.guardian import (
    called_as,
    guarded,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise

MODULE = "ansible_collections.lepotato.backup.plugins.module_utils.process.guardian"

# Ends in the way that its first argument names; what is run after a kill makes the file.
PROGRAM = f"""
import os, signal, sys, time
from {MODULE} import guarded
how, flag = sys.argv[1:]
with guarded(["/bin/sh", "-c", 'echo "$1" > "$1"', "sh", flag]):
    if how == "signal":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    print("inside", flush=True)
    if how == "raise":
        raise ValueError(how)
    sys.stdin.readline()
"""


def run_and_end(how: str, flag: Path, number: int = 0) -> int:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how, str(flag)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("both are pipes here")
        process.stdout.readline()
        if number:
            os.killpg(process.pid, number)
        process.stdin.close()
    return process.returncode


def test_a_killed_program_is_followed_by_the_command(tmp_path: Path) -> None:
    flag = tmp_path / "a name with 'quotes' $and spaces"
    assert run_and_end("wait", flag, signal.SIGKILL) == -signal.SIGKILL
    deadline = time.monotonic() + 240
    while not flag.exists() or not flag.read_text():
        assert time.monotonic() < deadline, "nothing followed the kill"
        time.sleep(0.05)
    assert flag.read_text() == f"{flag}\n"


@pytest.mark.parametrize(
    ("how", "number", "code"), [("wait", 0, 0), ("raise", 0, 1), ("signal", signal.SIGTERM, 3)]
)
def test_a_program_that_ends_by_itself_is_followed_by_nothing(
    tmp_path: Path, how: str, number: int, code: int
) -> None:
    # The shell was waited for before the program ended: it can't act later.
    assert run_and_end(how, tmp_path / "flag", number) == code
    assert not (tmp_path / "flag").exists()


@pytest.mark.parametrize("when", ["before Popen knows it", "after Popen", "at the end"])
def test_a_signal_beside_the_start_or_the_end_is_followed_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    started: list[int] = []

    class Signalled(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            send_when("after Popen")

        def _execute_child(self, *arguments: object) -> None:
            super()._execute_child(*arguments)  # type: ignore[misc]
            started.append(self.pid)
            send_when("before Popen knows it")

    def send_when(now: str) -> None:
        if now == when:
            os.kill(os.getpid(), signal.SIGTERM)

    def write(descriptor: int, data: bytes) -> int:
        send_when("at the end")
        return original(descriptor, data)

    original = os.write
    monkeypatch.setattr(subprocess, "Popen", Signalled)
    monkeypatch.setattr(os, "write", write)
    flag = tmp_path / "flag"
    with signals_raise(), pytest.raises(Interrupted), guarded(["touch", str(flag)]):
        pass
    # Whatever the shell does it has done once it is gone.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(started[0], 0)
    assert not flag.exists()


def test_without_a_command_nothing_waits() -> None:
    with guarded([]):
        inside = True
    assert inside


@pytest.mark.parametrize("arguments", [[], ["run"], ["--config", "/with space", "run", ""]])
def test_how_a_program_was_called(arguments: list[str]) -> None:
    code = f"import sys; from {MODULE} import called_as; print(ascii(called_as(sys.argv[1:])))"
    told = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == ascii([sys.executable, "-c", code])


def test_a_call_from_within_python_is_no_program() -> None:
    assert called_as(["run", "--config", "/not/a/word/of/this/process"]) == []
