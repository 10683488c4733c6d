# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check, in two lanes for two cores.

    python3 -m tools.run_tests [WORD...]

With words, only the stages whose names contain one of them. Ends with a table and with
"N passed, N failed, N skipped"; exit code 1 when a stage failed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from . import setup
from .checks import ansible_test, lint, molecule, python_tests
from .checks.stage import Stage, run_lanes
from .report import FAILED, PASSED, Report
from .shell import ToolError


def main(words: Sequence[str]) -> int:
    """Run the stages and print the table."""
    report = Report()
    lanes = _chosen(words)
    if not any(lanes):
        sys.stderr.write(f"no stage is called anything like {' '.join(words)}\n")
        return 2
    needs = {stage.needs for lane in lanes for stage in lane} - {""}
    try:
        with report.step("set-up: tools"):
            setup.prepare(["lint"], report.say)
    except ToolError:
        print(f"\n{report.closing_line()}")
        return 1
    with ThreadPoolExecutor() as pool:
        parts = (
            ["docker", *sorted(needs)] if needs & {"docker", "arm64", "native"} else sorted(needs)
        )
        ready = pool.submit(_prepare, parts, report)
        run_lanes(lanes, _asker(ready), report)
    print()
    print(report.table("make test"))
    print()
    print(report.closing_line())
    return 1 if report.count(FAILED) or not report.count(PASSED) else 0


def _lanes() -> list[list[Stage]]:
    """Return the lanes: emulation in the first, all else in the second, about as long.

    The integration tests come last, when the set-up of the containers is surely done.
    """
    return [
        molecule.stages(),
        [
            *lint.stages(),
            *ansible_test.stages(),
            *molecule.native_stages(),
            python_tests.standin_stage(),
            python_tests.integration_stage(),
        ],
    ]


def _chosen(words: Sequence[str]) -> list[list[Stage]]:
    return [
        [stage for stage in lane if not words or any(word in stage.name for word in words)]
        for lane in _lanes()
    ]


def _prepare(parts: Sequence[str], report: Report) -> dict[str, str]:
    if not parts:
        return {}
    with report.step("set-up: containers") as detail:
        problems = setup.prepare(parts, report.say)
        detail.text = "; ".join(f"no {part}" for part, problem in problems.items() if problem)
    return problems


def _asker(ready: Future[dict[str, str]]) -> Callable[[str], str]:
    """Return what tells a stage why its need can't be met, once the set-up knows."""

    def ask(need: str) -> str:
        try:
            return ready.result()[need]
        except ToolError as error:
            return str(error)

    return ask


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
