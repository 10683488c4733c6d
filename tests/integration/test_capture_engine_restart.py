# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker restarts in the middle of a capture."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Iterator

import pytest
from integration.container_lab import DRIVER_TIMEOUT_SECONDS, Lab, night, tree_difference
from integration.second_engine import IMAGE, SecondEngine, needed_engine
from integration.waits import wait_until_stopped


@pytest.fixture(name="engine", scope="module")
def make_engine() -> Iterator[SecondEngine]:
    with needed_engine() as engine:
        yield engine


@pytest.fixture(name="lab")
def make_lab(engine: SecondEngine, tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab", IMAGE, socket=engine.socket) as lab:
        lab.run("db", "--restart", "unless-stopped", service="db")
        lab.run(
            "app",
            "--restart",
            "unless-stopped",
            service="app",
            depends_on="db:service_started:false",
        )
        (lab.volumes / "db/rows").write_text("1\n")
        yield lab


RUNNING = {"db": "running", "app": "running"}


def test_an_engine_that_restarts_during_the_cold_pass_does_no_harm(
    lab: Lab, engine: SecondEngine
) -> None:
    process = lab.start_driver("--capture", "--at", "cold", "1", str(int(signal.SIGSTOP)))
    wait_until_stopped(process, "the driver is at its step")
    engine.end()
    later = threading.Timer(1.0, engine.start)
    later.start()
    os.kill(process.pid, signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=DRIVER_TIMEOUT_SECONDS)
    later.join()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["capture"]["not_back"] == []
    assert lab.states() == RUNNING
    assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []


def test_what_the_engine_leaves_stopped_after_a_restart_is_started_by_the_recovery(
    lab: Lab, engine: SecondEngine
) -> None:
    done = lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGKILL)))
    assert done.returncode == -signal.SIGKILL
    engine.end()
    # The recovery at boot may come before the engine.
    process = lab.start_driver("--recover")
    engine.start()
    stdout, stderr = process.communicate(timeout=DRIVER_TIMEOUT_SECONDS)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["recovered"]["started"] == [lab.name("db"), lab.name("app")]
    assert lab.states() == RUNNING
    night(lab)


def test_a_container_that_the_restarted_engine_brings_up_fails_the_night(
    lab: Lab, engine: SecondEngine
) -> None:
    lab.run("always", "--restart", "always", service="always")
    frozen = ("--capture", "--at", "cold", "2", str(int(signal.SIGSTOP)))
    config = lab.config(priorities={lab.name("always"): 5})
    process = lab.start_driver(*frozen, config=config)
    wait_until_stopped(process, "the driver is at its step")
    assert lab.states()["always"] == "exited"
    engine.end()
    engine.start()
    assert lab.states()["always"] == "running"
    os.kill(process.pid, signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=DRIVER_TIMEOUT_SECONDS)
    assert process.returncode == 1, stderr
    assert f"{lab.name('always')} came up by itself" in " ".join(
        json.loads(stdout)["capture"]["failed_groups"].values()
    )
    assert lab.states() == {**RUNNING, "always": "running"}


def test_without_an_engine_nothing_is_copied_and_the_message_says_so(
    lab: Lab, engine: SecondEngine
) -> None:
    engine.end()
    try:
        done = lab.drive("--capture")
    finally:
        engine.start()
    assert done.returncode == 1
    assert f"Docker can't be reached at {engine.socket}" in done.stderr
    assert not lab.daily.exists()
