# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils import cli
from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    EXIT_FAILED,
    EXIT_USAGE,
)
from ansible_collections.lepotato.backup.plugins.module_utils.cli.main import COMMANDS, main

# Names that scripts, cron jobs and people use; --help lists them in this order.
CONTRACT = [
    "run",
    "restore",
    "snapshots",
    "prune",
    "verify",
    "status",
    "containers",
    "recover",
    "start",
    "check-config",
]
INTERFACE = ("NAME", "HELP", "add_arguments", "run")


def cli_modules() -> List[ModuleType]:
    return [
        importlib.import_module(f"{cli.__name__}.{module.name}")
        for module in pkgutil.iter_modules(cli.__path__)
    ]


def test_the_list_holds_the_commands_of_the_contract() -> None:
    assert [command.NAME for command in COMMANDS] == CONTRACT


def test_every_module_that_is_a_command_is_in_the_list() -> None:
    # run() alone makes no command of a module, the other three names do.
    found = [m for m in cli_modules() if any(vars(m).get(name) for name in INTERFACE[:3])]
    assert sorted(module.__name__ for module in found) == sorted(
        f"{cli.__name__}.{name.replace('-', '_')}" for name in CONTRACT
    )
    assert all(module in COMMANDS for module in found)
    assert all(hasattr(module, name) for module in found for name in INTERFACE)


def test_help_names_every_command_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    lines = capsys.readouterr().out.partition("COMMAND\n")[2].splitlines()
    named = [line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "]
    assert named == CONTRACT


@pytest.mark.parametrize("name", CONTRACT)
def test_every_command_tells_what_it_takes_and_answers_in_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: lepotato-backup {name} [-h] [--json]")
    assert "answer in JSON on standard output" in told


@pytest.mark.parametrize("name", CONTRACT)
def test_every_command_reads_the_configuration_first(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}", encoding="utf-8")
    assert main(["--config", str(config), name, "--json"]) == EXIT_USAGE
    answer, error = capsys.readouterr()
    assert answer == ""
    assert error.startswith("lepotato-backup: ")
    assert str(config) in error


def test_what_the_system_refuses_is_a_failure_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_arguments: object) -> int:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(COMMANDS[0], "run", refused)
    assert main(["run"]) == EXIT_FAILED
    assert "Permission denied: '/somewhere'" in capsys.readouterr().err


def test_a_word_that_is_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["backup"])
    assert exit_.value.code == EXIT_USAGE
    assert "invalid choice: 'backup'" in capsys.readouterr().err
