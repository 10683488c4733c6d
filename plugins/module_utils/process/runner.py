# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands: one protocol, two worlds.

The nightly program runs commands through :class:`SubprocessRunner`; Ansible modules run the
same logic through :class:`ModuleRunner`, which hands each command to ``AnsibleModule.run_command``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from typing import (
    IO,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
)

from ..base.errors import CommandError, CommandTimeout
from .signals import ENDING_SIGNALS, signals_held

# A child that ignores SIGTERM (rclone with a revoked key does) is killed after this long.
TERMINATE_GRACE_SECONDS = 10.0

# Lines of stderr kept for error messages when the caller also reads them one by one: rclone
# may write a line per file, and the log file has them all.
STDERR_KEPT_LINES = 200

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class CommandResult(NamedTuple):
    """What a command left behind; text is UTF-8 with surrogateescape for other bytes."""

    argv: List[str]
    exit_code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """How the logic runs commands, whoever provides it."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout_seconds: Optional[float] = None,
        on_stderr_line: Optional[Callable[[str], None]] = None,
        check: bool = True,
    ) -> CommandResult:
        """Run *argv* and return its result.

        *env* is added to the environment. With *check*, an exit code other than 0 raises
        :class:`CommandError`. After *timeout_seconds* the command is ended and
        :class:`CommandTimeout` raised. *on_stderr_line* is called for each line of stderr.
        A program that does not exist raises :class:`CommandError`.
        """


def _die_with_parent() -> None:
    # kill -9 of the program must not leave rsync or rclone writing behind the next run's back.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_process_group(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """SIGTERM the group led by *process*; SIGKILL it when it is still there after the grace."""
    for signal_number, wait_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=wait_seconds)
            return
        except subprocess.TimeoutExpired:
            continue


class SubprocessRunner:
    """Run commands as children in their own process group, which die with this process."""

    def __init__(self, terminate_grace_seconds: float = TERMINATE_GRACE_SECONDS) -> None:
        self.terminate_grace_seconds = terminate_grace_seconds

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout_seconds: Optional[float] = None,
        on_stderr_line: Optional[Callable[[str], None]] = None,
        check: bool = True,
    ) -> CommandResult:
        """See :class:`Runner`. An exception raised by *on_stderr_line* ends the command."""
        # A signal between the start of the child and the end of "with" would leave it running.
        process: Optional[subprocess.Popen[bytes]] = None
        try:
            with signals_held():
                mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
                try:
                    process = self._start(argv, stdin is not None, env, mask)
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if on_stderr_line is None:
                stdout, stderr = process.communicate(stdin, timeout=timeout_seconds)
            else:
                stdout, stderr = self._stream(process, stdin, timeout_seconds, on_stderr_line)
        except subprocess.TimeoutExpired as error:
            self._end(process)
            raise CommandTimeout(argv, error.timeout, _text(error.stderr or b"")) from error
        except BaseException:
            # A signal handler of the program raises here: the child must not outlive it.
            self._end(process)
            raise
        result = CommandResult(list(argv), process.returncode, _text(stdout), _text(stderr))
        if check and result.exit_code != 0:
            raise CommandError(argv, result.exit_code, result.stderr)
        return result

    def _end(self, process: Optional[subprocess.Popen[bytes]]) -> None:
        if process is not None:
            end_process_group(process, self.terminate_grace_seconds)

    @staticmethod
    def _start(
        argv: Sequence[str],
        with_stdin: bool,
        env: Optional[Mapping[str, str]],
        mask: Iterable[int],
    ) -> subprocess.Popen[bytes]:
        def in_child() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _die_with_parent()

        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if with_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **env} if env else None,
                start_new_session=True,
                preexec_fn=in_child,
            )
        except OSError as error:
            raise CommandError(argv, None, str(error)) from error

    def _stream(
        self,
        process: subprocess.Popen[bytes],
        stdin: Optional[bytes],
        timeout_seconds: Optional[float],
        on_stderr_line: Callable[[str], None],
    ) -> tuple[bytes, bytes]:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("both outputs are pipes here")
        collected: List[bytes] = []
        reader = threading.Thread(target=_drain, args=(process.stdout, collected), daemon=True)
        reader.start()
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        timed_out = threading.Event()
        timer = self._kill_timer(process, timeout_seconds, timed_out)
        kept: List[bytes] = []
        try:
            for raw_line in process.stderr:
                kept.append(raw_line)
                del kept[:-STDERR_KEPT_LINES]
                on_stderr_line(_text(raw_line).rstrip("\n"))
            process.wait()
            reader.join()
        finally:
            if timer is not None:
                timer.cancel()
        stderr = b"".join(kept)
        if timed_out.is_set() and timeout_seconds is not None:
            raise subprocess.TimeoutExpired(process.args, timeout_seconds, stderr=stderr)
        return b"".join(collected), stderr

    def _kill_timer(
        self,
        process: subprocess.Popen[bytes],
        timeout_seconds: Optional[float],
        timed_out: threading.Event,
    ) -> Optional[threading.Timer]:
        if timeout_seconds is None:
            return None

        def expire() -> None:
            timed_out.set()
            end_process_group(process, self.terminate_grace_seconds)

        timer = threading.Timer(timeout_seconds, expire)
        timer.daemon = True
        timer.start()
        return timer


class ModuleRunner:
    """Run commands through an Ansible module, so that its logging and ``no_log`` apply."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout_seconds: Optional[float] = None,
        on_stderr_line: Optional[Callable[[str], None]] = None,
        check: bool = True,
    ) -> CommandResult:
        """See :class:`Runner`. The time-out is kept by coreutils' ``timeout``."""
        command = list(argv)
        if timeout_seconds is not None:
            command = [
                "timeout",
                f"--kill-after={TERMINATE_GRACE_SECONDS:g}",
                f"{timeout_seconds:g}",
            ] + command
        options: Dict[str, Any] = {"encoding": None}
        if stdin is not None:
            options.update(data=stdin, binary_data=True)
        if env:
            options["environ_update"] = dict(env)
        exit_code, stdout, stderr = self.module.run_command(command, **options)
        result = CommandResult(list(argv), exit_code, _text(stdout), _text(stderr))
        if on_stderr_line is not None:
            for line in result.stderr.splitlines():
                on_stderr_line(line)
        # timeout(1): 124 when the time ran out, 137 when it had to send SIGKILL.
        if timeout_seconds is not None and exit_code in (124, 137):
            raise CommandTimeout(argv, timeout_seconds, result.stderr)
        if check and exit_code != 0:
            raise CommandError(argv, exit_code, result.stderr)
        return result


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _drain(stream: IO[bytes], collected: List[bytes]) -> None:
    for chunk in iter(lambda: stream.read(65536), b""):
        collected.append(chunk)
