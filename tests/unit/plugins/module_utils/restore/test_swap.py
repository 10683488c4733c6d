# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renames and their way back: from wherever a swap stopped, the old data comes back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.restore.live_paths import Move
from ansible_collections.lepotato.backup.plugins.module_utils.restore.replaced import (
    REPLACED,
    Replaced,
    ReplacedList,
    size_bytes,
)
from ansible_collections.lepotato.backup.plugins.module_utils.restore.swap import (
    FORWARD,
    Swap,
    SwapFile,
    go_back,
    go_forward,
    reject_stages,
)


class StoppedError(Exception):
    """The program ended here."""


class Journal:
    """Ends the program at one step."""

    def __init__(self, end_at: int = -1) -> None:
        self.steps = 0
        self.end_at = end_at
        self.warnings: List[str] = []

    def info(self, message: str) -> None:
        del message

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def step(self, name: str) -> None:
        del name
        self.steps += 1
        if self.steps == self.end_at:
            raise StoppedError


def made(directory: Path) -> Swap:
    """Replaces one, puts two where nothing was, and moves three away."""
    live, stage = directory / "live", directory / "live/.stage"
    stage.mkdir(parents=True)
    for name in ("one", "three"):
        (live / name).mkdir()
        (live / name / "version").write_text("old")
    for name in ("one", "two"):
        (stage / name).mkdir()
        (stage / name / "version").write_text("new")
    return Swap(
        id="ID",
        point="POINT",
        phase=FORWARD,
        moves=(
            Move(f"{live}/one", f"{stage}/one", f"{live}/one.aside"),
            Move(f"{live}/two", f"{stage}/two", ""),
            Move(f"{live}/three", "", f"{live}/three.aside"),
        ),
        stages=(str(stage),),
    )


def seen(directory: Path) -> Dict[str, str]:
    live = directory / "live"
    return {path.parent.name: path.read_text() for path in sorted(live.glob("*/version"))}


OLD = {"one": "old", "three": "old"}
NEW = {"one": "new", "one.aside": "old", "three.aside": "old", "two": "new"}


def test_forward_and_back(tmp_path: Path) -> None:
    swap = made(tmp_path)
    go_forward(swap, Journal())
    assert seen(tmp_path) == NEW
    go_back(swap, Journal())
    assert seen(tmp_path) == OLD
    assert (tmp_path / "live/.stage/one/version").read_text() == "new"
    go_back(swap, Journal())
    assert seen(tmp_path) == OLD


@pytest.mark.parametrize("forward", range(1, 5))
@pytest.mark.parametrize("back", range(1, 4))
def test_back_from_every_step_and_from_every_step_of_the_way_back(
    tmp_path: Path, forward: int, back: int
) -> None:
    swap = made(tmp_path)
    with pytest.raises(StoppedError):
        go_forward(swap, Journal(forward))
    with pytest.raises(StoppedError):
        go_back(swap, Journal(back))
    go_back(swap, Journal())
    assert seen(tmp_path) == OLD


def test_what_appears_in_between_is_kept_and_gives_way(tmp_path: Path) -> None:
    swap = made(tmp_path)
    with pytest.raises(StoppedError):
        go_forward(swap, Journal(2))
    (tmp_path / "live/one").mkdir()
    (tmp_path / "live/one/version").write_text("stray")
    journal = Journal()
    go_back(swap, journal)
    assert seen(tmp_path) == {**OLD, "one.lepotato-before-ID-stray": "stray"}
    assert "was made while it was replaced" in journal.warnings[0]


def test_a_name_that_comes_back_stops_the_swap(tmp_path: Path) -> None:
    swap = made(tmp_path)
    (tmp_path / "live/two").mkdir()
    with pytest.raises(FileExistsError):
        go_forward(swap, Journal())


def test_the_file_reads_back_and_a_broken_one_is_named(tmp_path: Path) -> None:
    swap = made(tmp_path)
    file = SwapFile(str(tmp_path))
    assert file.read() is None
    file.write(swap)
    assert file.read() == swap
    (tmp_path / "swap.json").write_text("{")
    with pytest.raises(BackupError, match=r"swap\.json"):
        file.read()
    file.clear()
    assert file.read() is None


def test_a_rejected_stage_gets_another_name(tmp_path: Path) -> None:
    swap = made(tmp_path)
    expected = (str(tmp_path / "live/.lepotato-rejected-ID"),)
    assert reject_stages(swap) == expected
    assert reject_stages(swap) == expected


def test_what_was_replaced_is_listed_until_it_is_forgotten(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "file").write_bytes(b"x" * 10_000)
    (aside / "link").symlink_to(tmp_path)
    records = ReplacedList(str(tmp_path))
    records.add(Replaced("ID", "POINT", REPLACED, (str(aside), str(tmp_path / "gone"))))
    records.add(Replaced("ID", "POINT", REPLACED, (str(aside), str(tmp_path / "gone"))))
    assert len(records.records()) == 1
    assert size_bytes(records.records()[0].paths) >= 10_000
    records.forget(["other"])
    assert aside.exists()
    records.forget(["ID"])
    assert not aside.exists()
    assert records.records() == []
