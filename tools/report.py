# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line as each step ends, and a table of them all."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Step:
    """One step's outcome; *seconds* is wall time, *detail* one short line."""

    name: str
    result: str
    seconds: float
    detail: str = ""


class Report:
    """Collects steps from any thread and prints each as it ends."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add(self, step: Step) -> None:
        """Keep *step* and print its line."""
        with self._lock:
            self.steps.append(step)
            self._print(_line(step, self._width()))

    def say(self, text: str) -> None:
        """Print *text* between the steps, indented."""
        with self._lock:
            for line in text.splitlines():
                self._print(f"    {line}")

    @contextmanager
    def step(self, name: str) -> Iterator[Detail]:
        """Time a block; an exception makes it a failed step and goes on upwards."""
        detail = Detail()
        began = time.monotonic()
        try:
            yield detail
        except BaseException as error:
            self.add(Step(name, FAILED, time.monotonic() - began, _first_line(error)))
            raise
        self.add(Step(name, detail.result, time.monotonic() - began, detail.text))

    def table(self, title: str) -> str:
        """Return all steps, with the total of the clock on the wall, as text."""
        width = self._width()
        rows = [_line(step, width) for step in self.steps]
        total = time.monotonic() - self._started
        rule = "-" * max([len(title), *(min(len(row), 100) for row in rows)])
        return "\n".join([title, rule, *rows, rule, f"{'in all':<{width}}  {total:7.1f} s"])

    def count(self, result: str) -> int:
        """Return how many steps ended with *result*."""
        return sum(step.result == result for step in self.steps)

    def closing_line(self) -> str:
        """Return the line that says in any language's terms how the run went."""
        return (
            f"{self.count(PASSED)} passed, {self.count(FAILED)} failed, "
            f"{self.count(SKIPPED)} skipped"
        )

    def _width(self) -> int:
        return max([28, *(len(step.name) for step in self.steps)])

    def _print(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


@dataclass
class Detail:
    """What a step found out, set inside its block; *result* may become SKIPPED there."""

    text: str = ""
    result: str = PASSED


def _line(step: Step, width: int) -> str:
    text = f"{step.name:<{width}}  {step.seconds:7.1f} s  {step.result}"
    return f"{text}: {step.detail}" if step.detail else text


def _first_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0]
