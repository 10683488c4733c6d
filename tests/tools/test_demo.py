# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo ends with 0 only when every step was as it should be: one thing wrong at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import demo, setup
from tools.lab.playbook import Recap
from tools.report import FAILED, Report
from tools.shell import ToolError

ROWS = "1000 rows, md5 0123"
POINT = "20261122T020000Z"
SECRET = "not to be shown"
DOWN = {"db": 0.5, "app": 1.0, "pihole": 0.3}


class Lab:
    """What a lab tells the demo when all is well; a test changes one of the answers."""

    def __init__(self) -> None:
        self.problem = ""
        self.changed = [9, 0]
        self.record: dict[str, Any] = {"exit_code": 0, "point": POINT}
        self.down = dict(DOWN)
        self.nights = [POINT]
        self.names = ["lepotato/4pzX_7CV6iqpp-m94He-FA/moxCSCXv1lgHYKq27OsGvn"]
        self.told = {"files": 990, "bytes": 48_646_651}
        self.differences: list[str] = []
        self.rows_before = self.rows_after = ROWS
        self.broken = ""

    def answer(self, name: str, value: Callable[[], Any]) -> Callable[..., Any]:
        """A function of the lab, in the demo's place for it."""

        def answered(*_arguments: Any, **_options: Any) -> Any:
            if name == self.broken:
                raise ToolError(f"{name} failed")
            return value()

        return answered

    def watched(self, _names: Any, work: Callable[[], None]) -> dict[str, float]:
        work()
        return self.down


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    lab = Lab()
    answers: dict[str, Callable[[], Any]] = {
        "create": lambda: None,
        "psql": lambda: lab.rows_before,
        "play": lambda: Recap(ok=30, changed=lab.changed.pop(0)),
        "back_up": lambda: lab.record,
        "sealed_nights": lambda: lab.nights,
        "bucket_names": lambda: lab.names,
        "secret_values": lambda: [SECRET],
        "restore": lambda: lab.told,
        "differences": lambda: lab.differences,
        "rows_of_restored": lambda: lab.rows_after,
        "container_exists": lambda: False,
        "log_dir": lambda: tmp_path,
    }
    for name, value in answers.items():
        monkeypatch.setattr(demo, name, lab.answer(name, value))
    monkeypatch.setattr(setup, "prepare", lambda *_: {"docker": "", "arm64": lab.problem})
    monkeypatch.setattr(demo, "watch_downtime", lab.watched)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return lab


def test_all_is_well(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([]) == 0
    shown = capsys.readouterr().out
    assert lab.names[0] in shown
    assert " failed" not in shown
    assert shown.count(" passed") == 2 * 9  # as each step ends, and in the table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem": "no emulation here"}, "no emulation here"),
        ({"changed": [0, 0]}, "changed nothing on a bare board"),
        ({"changed": [9, 1]}, "a second site.yml changed 1 things"),
        ({"record": {"exit_code": 3, "point": POINT}}, "the night ended with 3"),
        ({"record": {}}, "the night ended with None"),
        ({"down": {**DOWN, "db": 0.0}}, "not every service was stopped"),
        ({"nights": []}, "the restore script lists []"),
        ({"names": []}, "0 names in the bucket"),
        ({"names": ["lepotato/daily/docker-volumes/x"]}, "readable: "),
        ({"names": [f"lepotato/{SECRET}"]}, "a secret is in a name"),
        ({"differences": [".f...p..... script.sh"]}, "1 differences"),
        ({"rows_after": "999 rows, md5 0123"}, "restored rows are 999 rows"),
        *(({"broken": name}, f"{name} failed") for name in ("create", "play", "back_up")),
        *(({"broken": name}, f"{name} failed") for name in ("restore", "rows_of_restored")),
    ],
)
def test_one_thing_wrong_fails_the_demo(
    lab: Lab, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(lab, name, value)
    assert demo.main([]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if f"  {FAILED}: " in line]
    assert len(failed) == 2
    assert said in failed[0]


def test_without_root_it_says_so_and_does_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.broken = "create"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert demo.main([]) == 1
    assert "root" in capsys.readouterr().err
    assert demo.main(["--clean"]) == 1


def test_ctrl_c_ends_it_with_its_own_exit_code(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "create", interrupted)
    assert demo.main([]) == 130


def test_long_names_are_told_apart(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    directory = "lepotato/" + "d" * 100
    lab.names = [f"{directory}/first", f"{directory}/second"]
    demo._look_into_bucket(Report())
    first, second = capsys.readouterr().out.split()
    assert (first[-6:], second[-7:]) == ("/first", "/second")
    assert len(first) == demo.SHOWN_CHARACTERS - 1
