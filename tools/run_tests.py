# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check, in three lanes for two cores: one of them mostly waits.

    python3 -m tools.run_tests [WORD...]

With words, only the stages whose names contain one of them. Ends with a table and with
"N passed, N failed, N skipped"; exit code 1 when a stage failed, or when none passed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from . import setup
from .checks import ansible_test, documentation, lint, molecule, python_tests
from .checks.stage import Stage, run_lanes
from .report import FAILED, PASSED, SKIPPED, Report
from .shell import ToolError

INTERRUPTED = "interrupted"


def main(words: Sequence[str]) -> int:
    """Run the stages and print the table."""
    unknown = [word for word in words if not _names([word])]
    if unknown:
        sys.stderr.write(
            f"no stage is called anything like {', '.join(unknown)}; there are: "
            f"{', '.join(_names([]))}\n"
        )
        return 2
    report = Report()
    try:
        with report.step("set-up: tools"):
            setup.prepare(["lint"], report.say)
        _run(_chosen(words), report)
    except ToolError:
        print(f"\n{report.closing_line()}")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{INTERRUPTED}\n")
        return 130
    print()
    print(report.table("make test"))
    print()
    print(report.closing_line())
    # Where every stage was skipped, nothing was found to be right.
    done = {step.name for step in report.steps if step.result == PASSED}
    return 1 if report.count(FAILED) or not done.intersection(_names(words)) else 0


def _lanes() -> list[list[Stage]]:
    """Return the lanes: emulation, the integration tests, which mostly wait, and all else."""
    return [
        molecule.stages(),
        [python_tests.integration_stage()],
        [
            *lint.stages(),
            *documentation.stages(),
            python_tests.tools_stage(),
            *ansible_test.stages(),
            python_tests.oldest_ansible_stage(),
            python_tests.standin_stage(),
            *molecule.native_stages(),
        ],
    ]


def _chosen(words: Sequence[str]) -> list[list[Stage]]:
    return [
        [stage for stage in lane if not words or any(word in stage.name for word in words)]
        for lane in _lanes()
    ]


def _names(words: Sequence[str]) -> list[str]:
    return [stage.name for lane in _chosen(words) for stage in lane]


def _run(lanes: Sequence[Sequence[Stage]], report: Report) -> None:
    """Run the lanes, and beside the stages that need nothing the set-up of the others."""
    stop = threading.Event()
    needs = {stage.needs for lane in lanes for stage in lane} - {""}
    # The emulated board takes longest to make, and nobody else waits for it.
    waves = {
        "set-up: for the stages": needs - {"arm64"},
        "set-up: emulated board": needs & {"arm64"},
    }
    ready: dict[str, Future[dict[str, str]]] = {}
    with ThreadPoolExecutor(1) as pool:
        for name, parts in waves.items():
            if parts:
                made = pool.submit(_prepare, name, sorted(parts), report, stop)
                ready.update(dict.fromkeys(parts, made))
        run_lanes(lanes, _asker(ready), report, stop)


def _prepare(
    name: str, parts: Sequence[str], report: Report, stop: threading.Event
) -> dict[str, str]:
    if stop.is_set():
        return dict.fromkeys(parts, INTERRUPTED)
    with report.step(name) as detail:
        problems = setup.prepare(parts, report.say)
        missing = [f"no {part}" for part, problem in problems.items() if problem]
        if missing:
            detail.result, detail.text = SKIPPED, "; ".join(missing)
    return problems


def _asker(ready: Mapping[str, Future[dict[str, str]]]) -> Callable[[str], str]:
    """Return what tells a stage why its need can't be met, once the set-up knows."""

    def ask(need: str) -> str:
        try:
            return ready[need].result()[need]
        except ToolError as error:
            return str(error)

    return ask


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
