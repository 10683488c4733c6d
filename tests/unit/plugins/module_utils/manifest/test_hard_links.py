# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Link windows and hard-link groups."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.hard_links import (
    HardLinks,
    link_window,
    read_link_windows,
)


def test_a_window_holds_what_happened_in_it(tmp_path: Path) -> None:
    windows = tmp_path / "windows.json"
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    assert read_link_windows(str(windows)) == []
    with link_window(str(windows)):
        os.link(one, other)
    after = tmp_path / "after"
    after.touch()
    [window] = read_link_windows(str(windows))
    assert window.start_ns <= one.stat().st_ctime_ns <= window.end_ns < after.stat().st_ctime_ns


def test_a_failed_window_is_not_recorded(tmp_path: Path) -> None:
    windows = str(tmp_path / "windows.json")
    with pytest.raises(OSError, match="no room"), link_window(windows):
        raise OSError("no room")
    assert read_link_windows(windows) == []


def test_windows_add_up_but_not_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = str(tmp_path / "windows.json")
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    for _night in range(70):
        with link_window(windows):
            pass
    found = read_link_windows(windows)
    assert len(found) == 64
    assert found == sorted(found)


@pytest.mark.parametrize("damage", [b"", b"\0\0", b"[[1, 2], [3", b'{"a": 1}', b"7", b"\xff"])
def test_a_damaged_file_holds_no_windows_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(damage)
    assert read_link_windows(str(path)) == []
    with link_window(str(path)):
        pass
    assert len(read_link_windows(str(path))) == 1


def status(inode: int, device: int = 1, links: int = 2) -> os.stat_result:
    return os.stat_result((0o100644, inode, device, links, 0, 0, 0, 0, 0, 0))


def test_groups_are_what_the_walk_saw_twice() -> None:
    links = HardLinks()
    # 2**24 apart: they share a bit of the map and must not share a group. The last is over 2**63.
    inodes = (7, 7 + (1 << 24), 9, (1 << 64) - 1)
    for inode in (*inodes, 9, inodes[-1]):
        links.note(status(inode))
    for inode in inodes:
        assert links.leader(status(inode)) is None
        links.add(status(inode), b"path %d" % inode, "digest")
    assert links.leader(status(9)) == (b"path 9", "digest")
    assert links.leader(status(inodes[-1])) == (b"path %d" % inodes[-1], "digest")
    assert links.leader(status(9, device=2)) is None
    assert links.leader(status(9, links=1)) is None
    links.close()
