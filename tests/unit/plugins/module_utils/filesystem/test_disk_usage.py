# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.disk_usage import (
    used_bytes,
)


def test_a_file_with_two_names_counts_once_and_a_sparse_one_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "daily/a").mkdir(parents=True)
    (tmp_path / "weekly").mkdir()
    (tmp_path / "daily/a/one").write_bytes(os.urandom(100_000))
    alone = used_bytes(str(tmp_path))
    os.link(tmp_path / "daily/a/one", tmp_path / "weekly/one")
    with (tmp_path / "daily/sparse").open("wb") as stream:
        stream.truncate(10**9)
    (tmp_path / "daily/link").symlink_to("/")
    assert alone <= used_bytes(str(tmp_path)) < alone + 100_000


def test_it_agrees_with_du(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").write_bytes(os.urandom(number * 500))
        os.link(tmp_path / f"{number}", tmp_path / f"again-{number}")
    told = subprocess.run(
        ["du", "-s", "--block-size=1", tmp_path], check=True, capture_output=True, text=True
    ).stdout
    assert used_bytes(str(tmp_path)) == int(told.split()[0])
