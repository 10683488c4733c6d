# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages as a whole: what is installed of them, and what they are called."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base import errors
from ansible_collections.lepotato.backup.plugins.module_utils.provision.release import (
    package_sources,
)

ROOT = Path(errors.__file__).parent.parent
ROOT_PACKAGE = errors.__name__.rpartition(".base.")[0]
PACKAGES = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_")

# A module is found by its name. Packages may share one only for the same idea: once for the
# bucket and once for the second destination, or a stage, a command and what they set going.
SAME_IDEA = {
    "count": ({"night", "points"}, "the bucket is counted: the stage, and how it is done"),
    "conf": ({"rclone", "second"}, "what rclone.conf says of a remote"),
    "errors": ({"base", "b2"}, "what goes wrong here, and what B2 calls wrong there"),
    "model": ({"manifest", "points"}, "what a manifest is, what a restore point is"),
    "prune": ({"cli", "night", "points", "second"}, "remove points that are too old"),
    "read": ({"points", "second"}, "read the points of a destination"),
    "replaced": ({"cli", "restore"}, "what restores in place moved aside"),
    "run": ({"capture", "cli", "night"}, "the whole of it, in order"),
    "seal": ({"night", "points"}, "what makes a night a restore point"),
    "store": ({"points", "second"}, "where points lie on a destination"),
    "weekly": ({"night", "points"}, "weekly points: the stage, and what they are"),
    "upload": ({"bucket", "night", "second"}, "send a night to a destination"),
}


def test_what_is_installed_is_the_tree_on_disk() -> None:
    on_disk = {str(path.relative_to(ROOT)): path.read_bytes() for path in ROOT.rglob("*.py")}
    # A package's own file has a sentence in the tree, and nothing on the board.
    expected = {
        path: b"" if path.endswith("__init__.py") else content for path, content in on_disk.items()
    }
    assert package_sources(ROOT_PACKAGE) == {"__init__.py": b"", **expected}
    assert len(PACKAGES) > 10


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_a_sentence_and_no_code(package: str) -> None:
    # Without the file a checkout's package is not found, and code in it would not be installed.
    body = ast.parse((ROOT / package / "__init__.py").read_bytes()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert str(body[0].value.value).endswith(".")


def test_nothing_lies_beside_the_packages() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]
    assert [str(path) for path in ROOT.glob("*/*/**/*.py")] == []


def test_a_name_stands_in_two_packages_only_for_the_same_idea() -> None:
    places = defaultdict(set)
    for path in ROOT.glob("*/*.py"):
        places[path.stem].add(path.parent.name)
    allowed = {name: packages for name, (packages, _reason) in SAME_IDEA.items()}
    shared = {name: where for name, where in places.items() if len(where) > 1}
    del shared["__init__"]
    assert {
        name: shared[name] for name in shared if not shared[name] <= allowed.get(name, set())
    } == {}
