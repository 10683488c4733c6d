# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.file_set import (
    Wanted,
    apply_changes,
    changes_needed,
    wanted_from_options,
)


def _paths(wanted: list[Wanted]) -> list[str]:
    return [change.wanted.path for change in changes_needed(wanted)]


def test_what_is_missing_is_made_and_then_right(tmp_path: Path) -> None:
    directory, file = tmp_path / "a" / "b", tmp_path / "a" / "b" / "file"
    wanted = [Wanted(str(directory), 0o700), Wanted(str(file), 0o640, "text\n")]
    apply_changes(changes_needed(wanted))
    assert file.read_text() == "text\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert changes_needed(wanted) == []


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    wanted = [Wanted(str(tmp_path / "no" / "file"), 0o644, "text")]
    (change,) = changes_needed(wanted)
    assert change.before == ""
    assert "text" in change.as_diff()["after"]
    assert os.listdir(tmp_path) == []


def test_only_what_differs_is_replaced(tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    for path in (same, other):
        path.write_text("old")
        path.chmod(0o644)
    inode = same.stat().st_ino
    wanted = [Wanted(str(same), 0o644, "old"), Wanted(str(other), 0o644, "new")]
    assert _paths(wanted) == [str(other)]
    apply_changes(changes_needed(wanted))
    assert (same.stat().st_ino, other.read_text()) == (inode, "new")


def test_a_wrong_mode_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    path.chmod(0o666)
    wanted = [Wanted(str(path), 0o600, "text")]
    apply_changes(changes_needed(wanted))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("text")
    link.symlink_to(target)
    apply_changes(changes_needed([Wanted(str(link), 0o644, "new")]))
    assert not link.is_symlink()
    assert (link.read_text(), target.read_text()) == ("new", "text")


def test_bytes_that_are_not_utf_8_are_a_change_and_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\x00")
    apply_changes(changes_needed([Wanted(str(path), 0o644, "text")]))
    assert path.read_text() == "text"


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match=r"directory is a directory"):
        apply_changes(changes_needed([Wanted(str(tmp_path / "directory"), 0o644, "text")]))
    with pytest.raises(BackupError, match=r"file is not a directory"):
        apply_changes(changes_needed([Wanted(str(tmp_path / "file"), 0o755)]))


def test_options_are_checked() -> None:
    assert wanted_from_options([{"path": "/a", "mode": "0750"}]) == [Wanted("/a", 0o750)]
    with pytest.raises(BackupError, match="octal"):
        wanted_from_options([{"path": "/a", "mode": "0999"}])
    with pytest.raises(BackupError, match="absolute"):
        wanted_from_options([{"path": "a", "mode": "0644", "content": ""}])
