# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage is, and how stages run beside each other."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from ..ansible_env import ansible_env
from ..paths import CHECKOUT, log_dir
from ..report import FAILED, PASSED, SKIPPED, Report, Step
from ..shell import ToolError, run_logged, tail

# How much of a failed stage's log is shown; the rest is in the file that is named.
SHOWN_LINES = 60


class Run(Protocol):
    """A stage's work."""

    def __call__(self, *, log: Log) -> str: ...


@dataclass(frozen=True)
class Stage:
    """One check. *run* returns a short detail, raises ToolError or Skip.

    *needs* names a part of the set-up ("docker", "arm64", "docs") that the machine
    may not be able to give.
    """

    name: str
    run: Run
    needs: str = ""


class Log:
    """A stage's log file, through which it runs its programs."""

    def __init__(self, name: str) -> None:
        self.path = log_dir() / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.log"
        self.path.unlink(missing_ok=True)

    def call(
        self,
        *argv: str,
        cwd: Path = CHECKOUT,
        env: Optional[Mapping[str, str]] = None,
        timeout_seconds: float = 1200,
    ) -> str:
        """Run a program of the development environment; return what it printed.

        Raises:
            ToolError: it ended non-zero; the text has the end of its output.
        """
        start = self.path.stat().st_size if self.path.exists() else 0
        code = run_logged(
            argv,
            self.path,
            cwd=cwd,
            env={**ansible_env(), **(env or {})},
            timeout_seconds=timeout_seconds,
        )
        with self.path.open("rb") as stream:
            stream.seek(start)
            output = stream.read().decode(errors="replace")
        if code != 0:
            raise ToolError(f"exit code {code}, log in {self.path}\n{tail(output, SHOWN_LINES)}")
        return output


class Skip(Exception):
    """This machine can't run the stage; the text says why."""


def run_lanes(
    lanes: Sequence[Sequence[Stage]],
    problem_of: Callable[[str], str],
    report: Report,
    stop: threading.Event,
) -> None:
    """Run the lanes beside each other and the stages of a lane in order.

    *problem_of* returns why a need can't be met, "" when it can, and may wait until it knows.
    A stage that fails stops nothing: all results are wanted. Interrupted, the stages that run
    (their programs got the signal too) clean up, *stop* is set and no other begins.
    """
    with ThreadPoolExecutor(len(lanes)) as pool:
        try:
            running = [pool.submit(_run_lane, lane, problem_of, report, stop) for lane in lanes]
            for lane in running:
                lane.result()
        except KeyboardInterrupt:
            stop.set()
            raise  # leaving the block waits for the lanes


def _run_lane(
    lane: Sequence[Stage],
    problem_of: Callable[[str], str],
    report: Report,
    stop: threading.Event,
) -> None:
    for stage in lane:
        problem = problem_of(stage.needs) if stage.needs else ""
        if stop.is_set():
            return
        if problem:
            report.add(Step(stage.name, SKIPPED, 0.0, problem.splitlines()[0]))
            continue
        began = time.monotonic()
        try:
            detail = stage.run(log=Log(stage.name))
        except Skip as reason:
            report.add(Step(stage.name, SKIPPED, time.monotonic() - began, str(reason)))
        except Exception as error:  # noqa: BLE001 - a broken stage must not hide the others
            first, _, rest = f"{error}".partition("\n")
            detail = first if isinstance(error, ToolError) else f"{type(error).__name__}: {first}"
            report.add(Step(stage.name, FAILED, time.monotonic() - began, detail))
            report.say(rest)
        else:
            report.add(Step(stage.name, PASSED, time.monotonic() - began, detail))


def last_line(output: str, containing: str = "") -> str:
    """Return the last line of *output* that contains *containing*, without decoration."""
    lines = [line.strip(" =") for line in output.splitlines() if containing in line]
    return lines[-1] if lines else ""
