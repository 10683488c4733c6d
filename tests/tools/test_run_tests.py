# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What make test calls passed, failed and skipped, and what it ends with."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tools import host, run_tests, setup
from tools.checks import stage as stage_module
from tools.checks.stage import Log, Skip, Stage
from tools.shell import ToolError

NO_DOCKER = "no Docker daemon answers\nand more that nobody needs"


def passes(log: Log) -> str:
    return "all of it"


def fails(log: Log) -> str:
    log.call("sh", "-c", "echo the reason; exit 3")
    return ""


def crashes(log: Log) -> str:
    raise KeyError("a bug")


def skips(log: Log) -> str:
    raise Skip("there are none")


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has everything but Docker."""
    problems = {"docker": NO_DOCKER, "native": NO_DOCKER, "arm64": NO_DOCKER}
    monkeypatch.setattr(
        setup, "prepare", lambda parts, _: {part: problems.get(part, "") for part in parts}
    )
    monkeypatch.setattr(stage_module, "log_dir", lambda: tmp_path)


def outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *stages: Stage
) -> tuple[int, list[str], str]:
    """The exit code, the table's lines of the stages, and the last line."""
    monkeypatch.setattr(run_tests, "_lanes", lambda: [list(stages[:1]), list(stages[1:])])
    code = run_tests.main([])
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("make test") :]
    return code, [line for line in table if line.startswith("stage")], lines[-1]


def test_all_passed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(monkeypatch, capsys, Stage("stage 1", passes), Stage("stage 2", passes, "lint"))
    code, lines, last = found
    assert (code, last) == (0, "4 passed, 0 failed, 0 skipped")  # with two steps of set-up
    assert [line.endswith("  passed: all of it") for line in lines] == [True, True]


@pytest.mark.parametrize(("work", "said"), [(fails, "exit code 3, log in "), (crashes, "KeyError")])
def test_a_failed_stage_stops_no_other_and_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Any, said: str
) -> None:
    stages = Stage("stage 1", passes), Stage("stage 2", work), Stage("stage 3", passes)
    code, lines, last = outcome(monkeypatch, capsys, *stages)
    assert (code, last) == (1, "3 passed, 1 failed, 0 skipped")
    assert any(f"  failed: {said}" in line for line in lines)


@pytest.mark.parametrize("need", ["docker", "native", "arm64"])
def test_what_can_not_run_here_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], need: str
) -> None:
    stages = Stage("stage 1", passes), Stage("stage 2", fails, need), Stage("stage 3", skips)
    code, lines, last = outcome(monkeypatch, capsys, *stages)
    # The set-up that could not be had does not count as passed either.
    assert (code, last) == (0, "2 passed, 0 failed, 3 skipped")
    assert any(line.endswith("  skipped: no Docker daemon answers") for line in lines)
    assert any(line.endswith("  skipped: there are none") for line in lines)


def test_nothing_but_skipped_stages_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _lines, last = outcome(monkeypatch, capsys, Stage("stage 1", passes, "docker"))
    assert (code, last) == (1, "1 passed, 0 failed, 2 skipped")


def test_without_its_tools_it_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ToolError("rsync missing: run this as root")

    monkeypatch.setattr(setup, "prepare", broken)
    assert run_tests.main(["lint"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("words", [["nonsense"], ["lint", "nonsense"]])
def test_an_unknown_stage_is_named(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run_tests.main(words) == 2
    said = capsys.readouterr().err
    assert "like nonsense; there are: " in said
    assert "ansible-test sanity" in said


def test_ctrl_c_lets_the_running_stages_end_and_starts_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began, ended = [], []
    stops: list[threading.Event] = []
    waits = threading.Event()
    result, run_lanes = Future.result, stage_module.run_lanes

    def lanes(*arguments: Any) -> None:
        stops.append(arguments[-1])
        run_lanes(*arguments)

    def waited_for(future: Future[Any], timeout: float | None = None) -> Any:
        waits.set()
        return result(future, timeout)

    def interrupted(log: Log) -> str:
        began.append(log.path.name)
        assert waits.wait(60), "the main thread does not wait"
        os.kill(os.getpid(), signal.SIGINT)
        assert stops[0].wait(60), "the signal stops nothing"
        time.sleep(0.3)  # for a main thread that did not wait for this stage
        ended.append(log.path.name)
        return ""

    monkeypatch.setattr(run_tests, "run_lanes", lanes)
    monkeypatch.setattr(Future, "result", waited_for)
    stages = [Stage("stage 1", interrupted), Stage("stage 2", interrupted)]
    monkeypatch.setattr(run_tests, "_lanes", lambda: [stages])
    assert run_tests.main([]) == 130
    assert began == ended == ["stage-1.log"]
    assert "interrupted" in capsys.readouterr().err


def test_somebody_elses_docker_daemon_is_not_started_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(host, "ensure_packages", lambda *_: None)
    monkeypatch.setattr(host, "_start_daemon", lambda _log: pytest.fail("started a daemon"))
    with pytest.raises(ToolError, match="DOCKER_HOST=unix:///nowhere"):
        host.ensure_docker(lambda _text: None)
