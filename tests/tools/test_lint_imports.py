# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contracts of the imports hold, and a planted import breaks them by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.checks import stage
from tools.checks.lint import check_imports
from tools.checks.stage import Log
from tools.paths import CHECKOUT, COLLECTIONS
from tools.shell import ToolError

PLUGINS = "ansible_collections.lepotato.backup.plugins"
UTILS = f"{PLUGINS}.module_utils"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Log:
    monkeypatch.setattr(stage, "log_dir", lambda: tmp_path)
    return Log("imports")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the contracts are about, to plant something in."""
    copy = tmp_path / "copy"
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "plugins", copy / "plugins", ignore=caches)
    shutil.copytree(COLLECTIONS, copy / COLLECTIONS.name, symlinks=True)
    shutil.copy2(CHECKOUT / "pyproject.toml", copy)
    return copy


def test_the_contracts_hold(log: Log, tree: Path) -> None:
    assert check_imports(log, tree) == "Contracts: 2 kept, 0 broken."


@pytest.mark.parametrize(
    ("planted", "line", "named"),
    [
        ("b2/api.py", "from ..points import store", [f"{UTILS}.b2.api -> {UTILS}.points.store"]),
        (
            "base/clock.py",
            "from ...modules import b2_verify",
            [f"{UTILS}.base.clock -> {PLUGINS}.modules.b2_verify"],
        ),
        ("base/clock.py", "import ansible.errors", [f"{UTILS}.base.clock -> ansible"]),
        ("new/__init__.py", '"""Not in the list."""', [f"{UTILS}.new", "not listed as layers"]),
    ],
)
def test_a_planted_import_is_named(
    log: Log, tree: Path, planted: str, line: str, named: list[str]
) -> None:
    path = tree / "plugins" / "module_utils" / planted
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(ToolError) as failed:
        check_imports(log, tree)
    assert [name for name in named if name not in str(failed.value)] == []
