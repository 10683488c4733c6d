# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill matrix: whatever step a run dies at, the containers come back.

After each kill -9 and its recovery the next night is good. A case has a database and an
application that depends on it; cases run side by side, since they mostly wait for Docker.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
from integration.container_lab import Lab, needed_image, tree_difference
from integration.file_systems import mounted

from ansible_collections.lepotato.backup.plugins.module_utils.capture.group import SNAPSHOT_STEPS
from ansible_collections.lepotato.backup.plugins.module_utils.capture.rsync import (
    COLD_SNAPSHOTS_NAME,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.run import STEPS
from ansible_collections.lepotato.backup.plugins.module_utils.docker.stop_start import RECOVER_STEPS

# How often a night over two containers in one group, one of them with a dump, comes to each step.
TIMES = {"stop": 2, "start": 2, "forget": 2, "ready": 2}
AT_ONCE = 4
RUNNING = {"db": "running", "app": "running"}

# File systems: the temporary directory's, and one with snapshots.
SOME, BTRFS = "any", "btrfs"

KILL = [(step, number) for step in STEPS for number in range(1, TIMES.get(step, 1) + 1)]
# What is there nowhere else, and what comes between while a snapshot exists.
SNAPSHOT_KILL = [(step, 1) for step in (*SNAPSHOT_STEPS, "start", "forget", "ready")]
RECOVER_KILL = [(step, number) for step in RECOVER_STEPS for number in (1, 2)]


class Ended(NamedTuple):
    """What a case found: states before, after the run, after the recovery and the next night."""

    exit_code: int
    stderr: str
    before: Dict[str, str]
    after_run: Dict[str, str]
    left_in_set: bool
    after_recovery: Optional[Dict[str, str]] = None
    after_next: Optional[Dict[str, str]] = None
    exit_codes_after: Tuple[int, ...] = ()
    wrong_in_staging: Tuple[str, ...] = ()
    snapshots_left: bool = False


def config_with_dump(lab: Lab) -> Dict[str, object]:
    dump = {"container": lab.name("db"), "kind": "command", "command": ["cat", "/data/rows"]}
    return lab.config(dumps=[dump])


def start_containers(lab: Lab) -> None:
    (lab.volumes / "db").mkdir()
    (lab.volumes / "db/rows").write_text("first")
    lab.run("db", "--health-cmd=test -f /data/rows", service="db")
    lab.run("app", service="app", depends_on="db:service_healthy:false")


def has_snapshots(lab: Lab) -> bool:
    return (lab.daily.parent / COLD_SNAPSHOTS_NAME).exists()


def end_at(lab: Lab, step: str, number: int, with_signal: int, in_recovery: bool) -> Ended:
    config = config_with_dump(lab)
    before = lab.states()
    if in_recovery:
        lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGKILL)), config=config)
    work = "--recover" if in_recovery else "--capture"
    done = lab.drive(work, "--at", step, str(number), str(with_signal), config=config)
    after_run = lab.states()
    left_in_set = lab.stopped_file.exists()
    if with_signal == signal.SIGTERM:
        left = has_snapshots(lab)
        return Ended(
            done.returncode, done.stderr, before, after_run, left_in_set, snapshots_left=left
        )
    recovery = lab.drive("--recover", config=config)
    after_recovery = lab.states()
    rows = uuid.uuid4().hex
    (lab.volumes / "db/rows").write_text(rows)
    following = lab.drive("--capture", config=config)
    dump = lab.daily / "dumps" / lab.name("db") / "command.out"
    wrong = tree_difference(lab.volumes, lab.staged(lab.volumes))
    return Ended(
        exit_code=done.returncode,
        stderr=done.stderr + recovery.stderr + following.stderr,
        before=before,
        after_run=after_run,
        left_in_set=lab.stopped_file.exists(),
        after_recovery=after_recovery,
        after_next=lab.states(),
        exit_codes_after=(recovery.returncode, following.returncode),
        wrong_in_staging=(*wrong, *([] if dump.read_text() == rows else [str(dump)])),
        snapshots_left=has_snapshots(lab),
    )


@contextlib.contextmanager
def new_lab(kind: str, directory: Path, image: str) -> Iterator[Lab]:
    """A lab on an SSD with this file system, or on the temporary directory's (SOME)."""
    with contextlib.ExitStack() as stack:
        if kind != SOME:
            directory = stack.enter_context(mounted(kind, directory))
        lab = stack.enter_context(Lab(directory / "lab", image))
        start_containers(lab)
        yield lab


Case = Tuple[str, int, int, bool, str]
CASES: List[Case] = [
    (step, number, int(with_signal), in_recovery, kind)
    for steps, in_recovery, kind in (
        (KILL, False, SOME),
        (SNAPSHOT_KILL, False, BTRFS),
        (RECOVER_KILL, True, SOME),
    )
    for with_signal in (signal.SIGKILL, signal.SIGTERM)
    for step, number in steps
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[Case, Future[Ended]]]:
    image = needed_image()
    with contextlib.ExitStack() as stack:
        # A case ends as it began, so the next one takes over its containers; where it did not,
        # its test fails and says so, and the next case gets new ones.
        free: Dict[str, queue.SimpleQueue[Lab]] = {
            kind: queue.SimpleQueue() for kind in (SOME, BTRFS)
        }

        def run_case(case: Case) -> Ended:
            kind = case[-1]
            try:
                lab = free[kind].get_nowait()
            except queue.Empty:
                directory = tmp_path_factory.mktemp("case")
                lab = stack.enter_context(new_lab(kind, directory, image))
            result = end_at(lab, *case[:-1])
            if lab.states() == RUNNING and not lab.stopped_file.exists():
                free[kind].put(lab)
            return result

        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {case: pool.submit(run_case, case) for case in CASES}


def check_back(result: Ended) -> None:
    assert result.before == RUNNING
    assert result.after_recovery == result.before, result.stderr
    assert result.after_next == result.before, result.stderr
    assert not result.left_in_set
    assert result.exit_codes_after == (0, 0), result.stderr
    assert result.wrong_in_staging == ()
    assert not result.snapshots_left


@pytest.mark.parametrize(("step", "number"), KILL)
def test_after_kill_9_the_containers_come_back_and_the_next_night_is_good(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGKILL, False, SOME)].result()
    assert result.exit_code == -signal.SIGKILL, result.stderr
    check_back(result)


@pytest.mark.parametrize(("step", "number"), KILL)
def test_after_sigterm_the_containers_run_when_the_program_ends(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGTERM, False, SOME)].result()
    assert result.exit_code == 1, result.stderr
    assert "Interrupted: stopped by SIGTERM" in result.stderr
    assert result.after_run == result.before, result.stderr
    assert not result.left_in_set


@pytest.mark.parametrize(("step", "number"), RECOVER_KILL)
def test_a_recovery_that_is_killed_is_finished_by_the_next(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGKILL, True, SOME)].result()
    assert result.exit_code == -signal.SIGKILL, result.stderr
    check_back(result)


@pytest.mark.parametrize(("step", "number"), RECOVER_KILL)
def test_a_signal_does_not_break_off_a_recovery(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGTERM, True, SOME)].result()
    assert result.exit_code == 1, result.stderr
    assert result.after_run == result.before, result.stderr
    assert not result.left_in_set


@pytest.mark.parametrize(("step", "number"), SNAPSHOT_KILL)
def test_with_snapshots_kill_9_leaves_neither_a_container_down_nor_a_snapshot(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGKILL, False, BTRFS)].result()
    assert result.exit_code == -signal.SIGKILL, result.stderr
    check_back(result)


@pytest.mark.parametrize(("step", "number"), SNAPSHOT_KILL)
def test_with_snapshots_the_program_cleans_up_on_sigterm(
    ended: Dict[Case, Future[Ended]], step: str, number: int
) -> None:
    result = ended[(step, number, signal.SIGTERM, False, BTRFS)].result()
    assert result.exit_code == 1, result.stderr
    assert result.after_run == result.before, result.stderr
    assert not result.left_in_set
    assert not result.snapshots_left


def test_a_night_comes_to_each_step_as_often_as_the_matrix_says(tmp_path: Path) -> None:
    image = needed_image()
    with Lab(tmp_path / "lab", image) as lab:
        lab.run("db", service="db")
        (lab.volumes / "db/rows").write_text("1\n")
        lab.run("app", service="app", depends_on="db:service_started:false")
        done = lab.drive("--capture", config=config_with_dump(lab))
        steps = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("step ")]
        assert {step: steps.count(step) for step in set(steps)} == {
            step: TIMES.get(step, 1) for step in STEPS
        }
