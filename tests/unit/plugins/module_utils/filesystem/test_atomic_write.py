# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.atomic_write import (
    write_atomically,
    write_json_atomically,
)


def test_the_mode_is_set_and_the_old_content_replaced(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(str(path), b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["conf"]


def test_a_failure_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.mkdir()
    (path / "occupied").touch()
    with pytest.raises(OSError, match="conf'"):
        write_atomically(str(path), b"new")
    assert os.listdir(tmp_path) == ["conf"]


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json_atomically(str(path), {"b": 1, "a": 2})
    assert path.read_text(encoding="utf-8") == '{\n  "a": 2,\n  "b": 1\n}\n'
