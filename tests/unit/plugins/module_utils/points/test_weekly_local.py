# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import CommandError
from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import parse_config
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.hard_links import (
    read_link_windows,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.points.weekly_local import (
    LocalWeeklies,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner

NAME = "backup-2026-11-22"


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    (tmp_path / "state").mkdir()
    tree = tmp_path / "staging/daily/docker-volumes/mnt"
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(b"1")
    (tree / "link").symlink_to("file")
    (tree / "-empty").mkdir(mode=0o750)
    (tmp_path / "staging/daily/.carrier").mkdir()
    state = StateFiles(str(tmp_path / "state"))
    write_manifest(str(tmp_path / "staging/daily"), state.manifest)
    return state


@pytest.fixture
def weeklies(tmp_path: Path, state: StateFiles) -> LocalWeeklies:
    config = parse_config(
        {
            "host": "potato",
            "bucket": "my-bucket",
            "host_prefix": "potato",
            "sources": [{"tree": "docker-volumes", "paths": ["/mnt"]}],
            "paths": {"staging": str(tmp_path / "staging"), "state": state.directory},
        }
    )
    return LocalWeeklies(config, SubprocessRunner())


def test_a_snapshot_shares_every_file(
    weeklies: LocalWeeklies, state: StateFiles, tmp_path: Path
) -> None:
    assert weeklies.names() == []
    weeklies.make(NAME)
    assert weeklies.names() == [NAME]
    snapshot = tmp_path / "staging/weekly" / NAME
    staged = tmp_path / "staging/daily"
    assert os.listdir(snapshot) == ["docker-volumes"]
    below = "docker-volumes/mnt"
    assert (snapshot / below / "file").samefile(staged / below / "file")
    assert os.readlink(snapshot / below / "link") == "file"
    assert (snapshot / below / "-empty").stat().st_mode & 0o777 == 0o750
    manifest = tmp_path / f"staging/weekly/{NAME}.manifest.jsonl.gz"
    assert manifest.read_bytes() == Path(state.manifest).read_bytes()
    assert len(read_link_windows(state.link_windows)) == 1


def test_a_removed_snapshot_leaves_staging_and_the_others(
    weeklies: LocalWeeklies, tmp_path: Path
) -> None:
    weeklies.make("backup-2026-11-15")
    weeklies.make(NAME)
    weeklies.remove("backup-2026-11-15")
    assert weeklies.names() == [NAME]
    assert sorted(os.listdir(tmp_path / "staging/weekly")) == [NAME, f"{NAME}.manifest.jsonl.gz"]
    assert (tmp_path / "staging/daily/docker-volumes/mnt/file").read_bytes() == b"1"


def test_what_an_interruption_left_is_no_snapshot_and_goes_with_the_next(
    weeklies: LocalWeeklies, tmp_path: Path
) -> None:
    half = tmp_path / "staging/weekly" / f".unfinished-{NAME}/docker-volumes"
    half.mkdir(parents=True)
    (half / "half").write_bytes(b"1")
    assert weeklies.names() == []
    weeklies.make(NAME)
    assert not half.exists()
    assert weeklies.names() == [NAME]


def test_a_snapshot_that_fails_is_not_there(weeklies: LocalWeeklies, tmp_path: Path) -> None:
    (tmp_path / "staging/daily/zz").mkdir()
    os.mkfifo(tmp_path / "staging/daily/zz/pipe")
    (tmp_path / "staging/weekly").mkdir()
    (tmp_path / "staging/weekly" / NAME).write_bytes(b"in the way")
    with pytest.raises((CommandError, OSError)):
        weeklies.make(NAME)
    assert not (tmp_path / "staging/weekly" / NAME).is_dir()


def test_a_snapshot_that_finds_no_room_gives_back_what_it_took(
    weeklies: LocalWeeklies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cp that makes half of it and fails, as on a full SSD.
    cp = tmp_path / "bin/cp"
    cp.parent.mkdir()
    cp.write_text('#!/bin/sh\nfor last; do :; done\nmkdir "$last/half"\nexit 1\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cp.parent}:{os.environ['PATH']}")
    with pytest.raises(CommandError):
        weeklies.make(NAME)
    assert os.listdir(tmp_path / "staging/weekly") == []
