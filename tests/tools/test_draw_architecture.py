# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawing of the packages is what they import, and says so when it is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.draw_architecture import ABOVE, PICTURE, imports, packages, picture
from tools.layered import place, reduced
from tools.paths import CHECKOUT
from tools.shell import ToolError

BEFORE = imports(CHECKOUT)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is drawn, to plant something in."""
    for name in ("plugins", "scripts"):
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=caches)
    return tmp_path


def plant(tree: Path, module: str, line: str) -> None:
    with (tree / "plugins" / "module_utils" / module).open("a") as stream:
        stream.write(f"{line}\n")


def test_the_committed_drawing_is_up_to_date() -> None:
    assert PICTURE.read_text() == picture(CHECKOUT), "run make architecture and commit its result"


def test_every_package_is_in_it_with_its_sentence() -> None:
    texts = [element.text or "" for element in ElementTree.parse(PICTURE).iter()]
    said = " ".join(texts)
    for name, sentence in packages(CHECKOUT / "plugins").items():
        assert name in texts
        assert sentence in said


def test_a_planted_import_changes_it(tree: Path) -> None:
    before = picture(tree)
    assert before == PICTURE.read_text()
    plant(tree, "b2/api.py", "from ..manifest.model import Entry")
    assert "manifest" in imports(tree)["b2"]
    assert picture(tree) != before


@pytest.mark.parametrize(
    "line",
    [
        "from .. import manifest",
        "from ..manifest import model",
        "from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import Entry",
        "import ansible_collections.lepotato.backup.plugins.module_utils.manifest.model",
        "def late():\n    from ..manifest.model import Entry\n    return Entry",
    ],
)
def test_an_import_is_seen_in_every_form(tree: Path, line: str) -> None:
    assert "manifest" not in BEFORE["b2"]
    plant(tree, "b2/api.py", line)
    assert "manifest" in imports(tree)["b2"]


def test_what_is_not_ours_is_not_drawn(tree: Path) -> None:
    plant(tree, "b2/api.py", "import json.decoder\nfrom ansible.module_utils.config import x")
    plant(tree, "b2/api.py", "from .rclone import x\nfrom . import points")
    assert imports(tree) == BEFORE
    assert set(BEFORE) == {*packages(CHECKOUT / "plugins"), *ABOVE}


def test_a_ring_is_named(tree: Path) -> None:
    plant(tree, "base/clock.py", "from ..config import schema")
    with pytest.raises(
        ToolError, match=r"in a ring: (base -> config -> base|config -> base -> config)$"
    ):
        picture(tree)


def test_a_package_without_a_sentence_is_named(tree: Path) -> None:
    (tree / "plugins" / "module_utils" / "b2" / "__init__.py").write_text("")
    with pytest.raises(ToolError, match=r"b2/__init__\.py: a package needs a sentence"):
        picture(tree)


def test_what_a_longer_way_stands_for_is_left_out() -> None:
    graph = {"a": ["b", "c", "d"], "b": ["c"], "c": [], "d": ["c"]}
    assert reduced(graph) == {"a": ["b", "d"], "b": ["c"], "c": [], "d": ["c"]}


def test_boxes_stand_apart_and_arrows_lead_down() -> None:
    graph = {"top": ["left", "right", "low"], "left": ["low"], "right": ["low"], "low": ["end"]}
    layout = place({**graph, "end": []}, width=100, gap=10)
    assert [sorted(row) for row in layout.rows] == [
        ["top"],
        ["left", "low|1", "right"],
        ["low"],
        ["end"],
    ]
    left, lane, right = (layout.centres[item] for item in layout.rows[1])
    assert abs(layout.centres["left"] - layout.centres["right"]) >= 110
    assert left < lane < right
