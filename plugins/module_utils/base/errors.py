# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors a person can act on, and the exit codes of the nightly program.

Every error carries one sentence that says what is wrong and names the variable or file, and
a hint that says what to do about it. ``str(error)`` is both, ready to be printed.
"""

from __future__ import annotations

from typing import Optional, Sequence

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_WARNINGS = 3
# sysexits.h calls 75 EX_TEMPFAIL: try again later.
EXIT_LOCKED = 75

# Enough of a command's stderr to see why it failed without drowning a log in it.
STDERR_TAIL_CHARS = 2000


class BackupError(Exception):
    """Something failed; *hint* says what the reader can do about it."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ConfigError(BackupError):
    """The configuration or the command line is wrong; nothing was changed."""

    exit_code = EXIT_USAGE


class LockHeld(BackupError):
    """Another run holds the lock."""

    exit_code = EXIT_LOCKED


class Interrupted(BaseException):
    """A signal asked the program to stop; *signal_number* says which.

    As with KeyboardInterrupt, code that goes on after an error must not go on after this.
    """

    exit_code = EXIT_FAILED

    def __init__(self, signal_number: int, name: str) -> None:
        super().__init__(f"stopped by {name}. The next run goes on where this one stopped")
        self.signal_number = signal_number


class CommandError(BackupError):
    """A command exited with a code other than 0.

    *argv* never holds a secret: secrets travel in the environment or on standard input.
    """

    def __init__(
        self, argv: Sequence[str], exit_code: Optional[int], stderr: str, hint: str = ""
    ) -> None:
        self.argv = list(argv)
        self.command_exit_code = exit_code
        self.stderr = stderr
        tail = stderr.strip()[-STDERR_TAIL_CHARS:]
        what = f"'{' '.join(self.argv)}' {self._ending()}"
        super().__init__(f"{what}: {tail}" if tail else what, hint)

    def _ending(self) -> str:
        if self.command_exit_code is None:
            return "could not be started"
        if self.command_exit_code < 0:
            return f"was ended by signal {-self.command_exit_code}"
        return f"failed with exit code {self.command_exit_code}"


class CommandTimeout(CommandError):
    """A command did not end within its time and was killed."""

    def __init__(self, argv: Sequence[str], timeout_seconds: float, stderr: str) -> None:
        self.timeout_seconds = timeout_seconds
        super().__init__(argv, None, stderr)

    def _ending(self) -> str:
        return f"was killed: it did not end within {self.timeout_seconds:g} s"
