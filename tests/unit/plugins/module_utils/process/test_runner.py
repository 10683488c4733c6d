# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    CommandError,
    CommandTimeout,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.process.signal_shield import shielded
from ansible_collections.lepotato.backup.plugins.module_utils.process.signals import signals_raise

RUNNER = SubprocessRunner(terminate_grace_seconds=0.5)
IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(600)"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int, seconds: float = 240.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_output_and_input_travel_as_they_are() -> None:
    result = RUNNER.run(["cat"], stdin=b"line\n\xff\n")
    assert result.exit_code == 0
    assert result.stdout.encode("utf-8", "surrogateescape") == b"line\n\xff\n"


def test_the_environment_is_added_not_replaced() -> None:
    result = RUNNER.run(["sh", "-c", 'echo "$GOGC:$PATH"'], env={"GOGC": "20"})
    assert result.stdout.startswith("20:/")


def test_a_failure_carries_command_exit_code_and_stderr() -> None:
    with pytest.raises(CommandError) as caught:
        RUNNER.run(["sh", "-c", "echo why >&2; exit 7"])
    assert caught.value.command_exit_code == 7
    assert "failed with exit code 7: why" in str(caught.value)
    assert RUNNER.run(["false"], check=False).exit_code == 1


def test_a_program_that_does_not_exist_is_a_command_error() -> None:
    with pytest.raises(CommandError, match="'no-such-program' could not be started"):
        RUNNER.run(["no-such-program"])


def test_stderr_lines_arrive_one_by_one_and_large_output_does_not_block() -> None:
    lines: list[str] = []
    script = (
        "import sys; sys.stdout.write('x' * 300000); "
        "[print(number, file=sys.stderr) for number in range(999)]"
    )
    result = RUNNER.run([sys.executable, "-c", script], on_stderr_line=lines.append)
    assert lines == [str(number) for number in range(999)]
    assert len(result.stdout) == 300000


@pytest.mark.parametrize("streamed", [False, True])
def test_a_command_that_ignores_sigterm_is_killed_when_its_time_is_over(streamed: bool) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match=r"did not end within 0\.3 s"):
        RUNNER.run(
            [sys.executable, "-c", IGNORES_SIGTERM],
            timeout_seconds=0.3,
            on_stderr_line=(lambda line: None) if streamed else None,
        )
    # Without the kill it would have slept on.
    assert time.monotonic() - started < 300


def test_an_interrupt_ends_the_child(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"echo $$ > {pid_file}; kill -TERM {os.getpid()}; sleep 600"
    with signals_raise(), pytest.raises(Interrupted) as caught:
        RUNNER.run(["sh", "-c", script])
    assert caught.value.signal_number == signal.SIGTERM
    assert wait_until_gone(int(pid_file.read_text(encoding="ascii")))


@contextlib.contextmanager
def interruptible_in_a_shield() -> Iterator[None]:
    with shielded() as shield, shield.interruptible():
        yield


@pytest.mark.parametrize(
    "within", [contextlib.nullcontext(), interruptible_in_a_shield()], ids=["bare", "shield"]
)
def test_a_signal_that_another_thread_takes_during_the_start_ends_the_child(
    monkeypatch: pytest.MonkeyPatch, within: contextlib.AbstractContextManager[None]
) -> None:
    started: list[int] = []

    class Slow(subprocess.Popen[bytes]):
        """The child runs and the signal comes before the caller knows of the child."""

        def _execute_child(self, *arguments: object) -> None:
            super()._execute_child(*arguments)  # type: ignore[misc]
            started.append(self.pid)
            # The main thread has blocked it: the kernel gives it to the other one.
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)

    def run_within() -> None:
        with within:
            RUNNER.run(["sleep", "600"])

    monkeypatch.setattr(subprocess, "Popen", Slow)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with signals_raise(), pytest.raises(Interrupted) as caught:
            run_within()
        assert caught.value.signal_number == signal.SIGTERM
        assert wait_until_gone(started[0])
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    finally:
        done.set()
        other.join()


def test_the_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        f"from {SubprocessRunner.__module__} import SubprocessRunner\n"
        f"SubprocessRunner().run(['sh', '-c', 'echo $$ > {pid_file}.new; "
        f"mv {pid_file}.new {pid_file}; exec sleep 600'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        deadline = time.monotonic() + 240
        while not pid_file.exists():
            assert parent.poll() is None, "the parent ended without its child"
            assert time.monotonic() < deadline, "the child does not begin"
            time.sleep(0.02)
        child = int(pid_file.read_text(encoding="ascii"))
        assert alive(child)
        parent.kill()
    assert wait_until_gone(child)
