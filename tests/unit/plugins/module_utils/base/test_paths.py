# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.paths import (
    free_bytes_at,
    is_below,
    nearest_existing,
)


@pytest.mark.parametrize(
    ("path", "parent", "below"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a/b", "/", True),
        ("/ab", "/a", False),
        ("/a", "/a/b", False),
    ],
)
def test_below_is_the_same_or_in_it(path: str, parent: str, below: bool) -> None:
    assert is_below(path, parent) is below


def test_the_room_of_what_does_not_exist_yet_is_that_of_where_it_will_be(tmp_path: Path) -> None:
    missing = str(tmp_path / "a/b")
    assert nearest_existing(missing) == str(tmp_path)
    assert free_bytes_at(missing) > 0
