# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set of stopped containers on disk, and what it knows about stops under way."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.docker.stopped_set import (
    StoppedEntry,
    StoppedSet,
    boot_id,
    stop_may_be_under_way,
)


def entry(name: str, **changes: object) -> StoppedEntry:
    whole = StoppedEntry(
        id=name * 8,
        name=name,
        group="g",
        started_at="2026-11-22T02:00:00.123Z",
        stopped_at_seconds=1.5,
        stop_deadline_seconds=time.monotonic() + 100,
        boot_id=boot_id(),
        needs=("x", "y"),
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]  # field by field


def names(stopped: StoppedSet) -> List[str]:
    return [item.name for item in stopped.entries()]


def test_entries_come_back_as_they_were_in_stop_order(tmp_path: Path) -> None:
    stopped = StoppedSet(str(tmp_path / "new" / "state"))
    assert stopped.entries() == []
    first, second = entry("b"), entry("a", was_looping=True)
    stopped.add([first, second])
    assert StoppedSet(stopped.directory).entries() == [first, second]


def test_an_entry_that_is_added_again_keeps_its_place(tmp_path: Path) -> None:
    stopped = StoppedSet(str(tmp_path))
    stopped.add([entry("a"), entry("b")])
    stopped.add([entry("c"), entry("a", group="later")])
    assert names(stopped) == ["a", "b", "c"]
    assert stopped.entries()[0].group == "later"


def test_the_file_goes_with_the_last_entry(tmp_path: Path) -> None:
    stopped = StoppedSet(str(tmp_path))
    stopped.add([entry("a"), entry("b")])
    stopped.remove([entry("a").id, "unknown"])
    assert names(stopped) == ["b"]
    stopped.remove([entry("b").id])
    assert not Path(stopped.path).exists()
    stopped.remove([entry("b").id])


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 2, "stopped": []}', '{"version": 1, "stopped": [{"id": "a"}]}'],
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: str) -> None:
    stopped = StoppedSet(str(tmp_path))
    Path(stopped.path).write_text(content)
    with pytest.raises(BackupError, match=r"stopped.json.*Start your containers by hand"):
        stopped.entries()
    with pytest.raises(BackupError):
        stopped.add([entry("a")])
    assert Path(stopped.path).read_text() == content


def test_a_set_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with pytest.raises(BackupError, match="can't be written"):
        StoppedSet(str(tmp_path / "state")).add([entry("a")])


def test_the_file_is_plain_json_for_people(tmp_path: Path) -> None:
    stopped = StoppedSet(str(tmp_path))
    stopped.add([entry("a")])
    raw = json.loads(Path(stopped.path).read_text())
    assert raw["version"] == 1
    assert raw["stopped"][0]["name"] == "a"


def test_a_stop_is_under_way_only_in_its_boot_and_until_its_deadline() -> None:
    assert stop_may_be_under_way(entry("a"))
    assert not stop_may_be_under_way(entry("a", boot_id="another boot"))
    assert not stop_may_be_under_way(entry("a", stop_deadline_seconds=time.monotonic() - 1))
