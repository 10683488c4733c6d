# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An execution environment has what the modules' documentation asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.checks.execution_environment import problems
from tools.paths import CHECKOUT

MODULE = '''\
DOCUMENTATION = r"""
module: bucket
requirements:
  - {requirement}
"""
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "meta").mkdir()
    (tmp_path / "plugins/modules").mkdir(parents=True)
    (tmp_path / "meta/execution-environment.yml").write_text(
        "dependencies:\n  python: meta/ee-requirements.txt\n"
    )
    (tmp_path / "meta/ee-requirements.txt").write_text("# why\nb2sdk>=2.0  # bucket\n")
    (tmp_path / "plugins/modules/plain.py").write_text('DOCUMENTATION = "module: plain"\n')
    require(tmp_path, "b2sdk 2.0 or later on the host that runs the module")
    return tmp_path


def require(root: Path, requirement: str) -> None:
    (root / "plugins/modules/bucket.py").write_text(MODULE.format(requirement=requirement))


def test_this_collection_is_right() -> None:
    assert problems(CHECKOUT) == []


def test_what_agrees_is_right(root: Path) -> None:
    assert problems(root) == []


def test_a_file_that_is_named_must_be_there(root: Path) -> None:
    (root / "meta/ee-requirements.txt").unlink()
    assert problems(root) == [
        "meta/execution-environment.yml names meta/ee-requirements.txt, which is not there"
    ]


def test_another_version_is_found_on_both_sides(root: Path) -> None:
    require(root, "b2sdk 2.5 or later")
    assert problems(root) == [
        "meta/ee-requirements.txt lacks b2sdk>=2.5, which a module requires",
        "meta/ee-requirements.txt has b2sdk>=2.0, which no module requires",
    ]


def test_a_requirement_must_be_readable(root: Path) -> None:
    require(root, "some b2sdk")
    assert 'bucket.py: the requirement "some b2sdk" is not' in problems(root)[0]
