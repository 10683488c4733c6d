# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import CommandError
from ansible_collections.lepotato.backup.plugins.module_utils.capture.rsync import copy
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import (
    CommandResult,
    SubprocessRunner,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "gone").mkdir(parents=True)
    for name in ("kept", "replaced", "snapshotted", "gone/one", "odd\nname \\ é"):
        (source / name).write_bytes(os.urandom(10_000))
    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=False)
    return source


def test_a_dry_run_tells_what_it_would_make_and_give_back(source: Path, tmp_path: Path) -> None:
    staged = Path(f"{tmp_path}/to{source}")
    os.link(staged / "snapshotted", tmp_path / "snapshot")
    for name in ("replaced", "snapshotted"):
        (source / name).write_bytes(os.urandom(20_000))
    (source / "gone/one").unlink()
    (source / "gone").rmdir()
    (source / "odd\nname \\ é").unlink()
    (source / "new").mkdir()
    (source / "new/file").write_bytes(b"new")
    (source / "new/link").symlink_to("file")
    stats = copy(
        SubprocessRunner(),
        [str(source)],
        str(tmp_path / "to"),
        may_vanish=False,
        dry_run=True,
        count_freed=True,
    )
    assert (stats.files_created, stats.files_transferred) == (3, 3)
    assert stats.bytes_transferred == 40_003
    # Three files of three blocks of 4096 bytes; the fourth has another name.
    lost = ("replaced", "gone/one", "odd\nname \\ é")
    assert stats.bytes_freed == sum((staged / name).stat().st_blocks * 512 for name in lost)
    assert stats.bytes_freed >= 30_000


def test_a_full_file_system_is_named_with_what_is_left(tmp_path: Path) -> None:
    class Full:
        def run(self, argv: list[str], **_options: object) -> CommandResult:
            said = 'rsync: write failed on "/x/y": No space left on device (28)'
            return CommandResult(argv, 11, "", said)

    with pytest.raises(CommandError) as caught:
        copy(Full(), [str(tmp_path)], str(tmp_path / "not/there"), may_vanish=True)  # type: ignore[arg-type]
    assert f"holds {tmp_path}/not/there ran full" in str(caught.value)
    assert "inodes are free now" in str(caught.value)
