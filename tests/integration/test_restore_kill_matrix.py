# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill matrix of a restore in place: live data is wholly old or wholly new, services run.

Two containers with a volume each, one depends on the other; both volumes are replaced. Cases run
side by side, waiting for Docker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import pytest
from integration.container_lab import CHECKOUT, Lab, needed_image

DRIVER = Path(__file__).with_name("restore_driver.py")
DRIVER_TIMEOUT_SECONDS = 300.0
AT_ONCE = 6
VOLUMES = ("db", "app")

# Each step of a swap that goes well, in order, and how often it is come to.
STEPS = {
    "record": 1,
    "stop": 2,
    "swap-noted": 1,
    "swap-aside": 2,
    "swap-in": 2,
    "swap-done": 1,
    "start": 2,
    "forget": 2,
    "ready": 2,
    "settled": 1,
}
# And of one whose new data is not good, from there on.
STEPS_BACK = {"swap-back": 2, "swap-back-done": 1, "settled": 1}
# From here on the new data is live when nothing is wrong with it.
NEW_FROM = list(STEPS).index("swap-done")

WELL = [(step, number) for step, times in STEPS.items() for number in range(1, times + 1)]
NOT_WELL = [(step, number) for step, times in STEPS_BACK.items() for number in range(1, times + 1)]
NOT_WELL += [("ready", 1), ("start", 3), ("forget", 4)]
SIGTERM = [("stop", 1), ("stop", 2), ("swap-aside", 1), ("swap-done", 1), ("ready", 1)]
RECOVERY = [("swap-back", 1), ("swap-back", 2), ("start", 1)]


class Ended(NamedTuple):
    """What a case found after the run, and after the recovery."""

    exit_code: int
    stderr: str
    after_run: Dict[str, str]
    states: Dict[str, str]
    versions: Tuple[str, ...]
    aside: Tuple[str, ...]
    left: Tuple[str, ...]
    recovered: int
    answer: Optional[Dict[str, Any]] = None


class SwapLab(Lab):
    """A lab with old data that is live and new data that is staged."""

    def __enter__(self) -> SwapLab:
        super().__enter__()
        return self

    def fill(self, is_good: bool) -> None:
        stage = Path(f"{self.stage}/docker-volumes{self.volumes}")
        for name in VOLUMES:
            (self.volumes / name).mkdir()
            (self.volumes / name / "version").write_text("old")
            (self.volumes / name / "rows").write_text("1\n")
            (stage / name).mkdir(parents=True)
            (stage / name / "version").write_text("new")
            if is_good or name != "db":
                (stage / name / "rows").write_text("2\n")

    @property
    def stage(self) -> Path:
        return self.volumes / ".lepotato-restore-20261121T020000Z-x"

    def versions(self) -> Tuple[str, ...]:
        paths = [self.volumes / name / "version" for name in VOLUMES]
        return tuple(path.read_text() if path.exists() else "none" for path in paths)

    def aside(self) -> Tuple[str, ...]:
        """The versions of what was moved aside."""
        found = sorted(self.volumes.glob("*.lepotato-before-*/version"))
        return tuple(path.read_text() for path in found)

    def left(self) -> Tuple[str, ...]:
        """State that only an unfinished swap leaves."""
        names = ("swap.json", "stopped.json")
        return tuple(name for name in names if (self.directory / "state" / name).exists())

    def drive_restore(self, *argv: str, timeout_seconds: int) -> subprocess.CompletedProcess[str]:
        path = self.directory / "config.json"
        path.write_text(json.dumps(self.config(start_timeout_seconds=timeout_seconds)))
        return subprocess.run(
            [sys.executable, str(DRIVER), str(path), *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=DRIVER_TIMEOUT_SECONDS,
            env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/.collections:{CHECKOUT}/tests"},
        )


Case = Tuple[str, int, int, bool, str]


def end_at(
    directory: Path, image: str, step: str, number: int, sent: int, is_good: bool, during: str
) -> Ended:
    with SwapLab(directory, image) as lab:
        lab.fill(is_good)
        lab.run("db", "--health-cmd=test -f /data/rows", service="db")
        lab.run("app", service="app", depends_on="db:service_healthy:false")
        # Data that is not good is waited for in vain: not for long.
        limit = 60 if is_good else 3
        swap = ["--swap", str(lab.stage), *(str(lab.volumes / name) for name in VOLUMES)]
        fault = ["--at", step, str(number), str(sent)]
        if during == "recovery":
            lab.drive_restore(*swap, "--at", "swap-in", "2", "9", timeout_seconds=limit)
            done = lab.drive_restore("--recover", *fault, timeout_seconds=limit)
        else:
            done = lab.drive_restore(*swap, *(fault if step else []), timeout_seconds=limit)
        after_run = lab.states()
        recovery = lab.drive_restore("--recover", timeout_seconds=limit)
        return Ended(
            exit_code=done.returncode,
            stderr=done.stderr + recovery.stderr,
            after_run=after_run,
            states=lab.states(),
            versions=lab.versions(),
            aside=lab.aside(),
            left=lab.left(),
            recovered=recovery.returncode,
            answer=json.loads(done.stdout) if done.stdout else None,
        )


KILL, TERM = int(signal.SIGKILL), int(signal.SIGTERM)
CASES: Tuple[Case, ...] = (
    ("", 0, 0, True, "swap"),
    ("", 0, 0, False, "swap"),
    *((step, number, KILL, True, "swap") for step, number in WELL),
    *((step, number, KILL, False, "swap") for step, number in NOT_WELL),
    *((step, number, TERM, True, "swap") for step, number in SIGTERM),
    *((step, number, KILL, True, "recovery") for step, number in RECOVERY),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[Case, Future[Ended]]]:
    image = needed_image()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(end_at, tmp_path_factory.mktemp("swap") / "lab", image, *case)
            for case in CASES
        }


RUNNING = {"db": "running", "app": "running"}
OLD, NEW = ("old", "old"), ("new", "new")


def check_whole(result: Ended, versions: Tuple[str, ...]) -> None:
    assert result.recovered == 0, result.stderr
    assert result.states == RUNNING, result.stderr
    assert result.versions == versions, result.stderr
    assert result.left == (), result.stderr
    # What was replaced is kept, and nothing else is aside.
    assert result.aside == (OLD if versions == NEW else ()), result.stderr


def test_a_swap_comes_to_each_step_as_often_as_the_matrix_says(
    ended: Dict[Case, Future[Ended]],
) -> None:
    result = ended["", 0, 0, True, "swap"].result()
    check_whole(result, NEW)
    assert result.answer is not None
    assert result.answer["is_new"] is True
    steps = [line.split()[1] for line in result.stderr.splitlines() if line.startswith("step ")]
    assert list(dict.fromkeys(steps)) == list(STEPS)
    assert {step: steps.count(step) for step in STEPS} == STEPS


def test_data_that_is_not_good_is_taken_back_by_itself(ended: Dict[Case, Future[Ended]]) -> None:
    result = ended["", 0, 0, False, "swap"].result()
    check_whole(result, OLD)
    assert result.after_run == RUNNING
    assert result.answer is not None
    assert result.answer["is_new"] is False
    assert "db did not come back" in result.answer["problems"][0]
    assert result.answer["aside"][0].endswith(".lepotato-rejected-20261122T020000Z")


@pytest.mark.parametrize(("step", "number"), WELL)
def test_after_kill_9_live_data_is_wholly_old_or_new_and_services_run(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[step, number, KILL, True, "swap"].result()
    assert result.exit_code == -KILL, result.stderr
    check_whole(result, NEW if list(STEPS).index(step) >= NEW_FROM else OLD)


@pytest.mark.parametrize(("step", "number"), NOT_WELL)
def test_kill_9_on_the_way_back_ends_with_the_old_data(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[step, number, KILL, False, "swap"].result()
    assert result.exit_code == -KILL, result.stderr
    check_whole(result, OLD)


@pytest.mark.parametrize(("step", "number"), SIGTERM)
def test_sigterm_leaves_a_whole_state_and_running_services_by_itself(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[step, number, TERM, True, "swap"].result()
    assert result.exit_code == 1, result.stderr
    assert result.after_run == RUNNING, result.stderr
    check_whole(result, OLD if step == "stop" else NEW)


@pytest.mark.parametrize(("step", "number"), RECOVERY)
def test_a_recovery_that_is_killed_is_finished_by_the_next(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[step, number, KILL, True, "recovery"].result()
    assert result.exit_code == -KILL, result.stderr
    check_whole(result, OLD)
