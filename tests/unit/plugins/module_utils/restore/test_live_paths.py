# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where restored data goes on the host, and which compose projects there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Source
from ansible_collections.lepotato.backup.plugins.module_utils.docker.compose_up import find_projects
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import Mount
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
)
from ansible_collections.lepotato.backup.plugins.module_utils.restore.live_paths import (
    Stage,
    is_ours,
    live_paths,
    make_moves,
    plan_stages,
)
from ansible_collections.lepotato.backup.plugins.module_utils.restore.selection import Chooser, Wish

SEAL = Seal(
    id="20261122T020000Z",
    host="potato",
    started_at="",
    sealed_at="",
    version_at="",
    manifest=ManifestReference("", "", 0),
    trees={},
    upload=Amount(0, 0),
)


def planned(tmp_path: Path, wish: Wish, *mount_points: str) -> list[Stage]:
    live = tmp_path / "live"
    tree = tmp_path / "daily/docker-volumes" / str(live / "volumes").lstrip("/")
    for name in ("db/base", "web/index.html"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text(name)
    manifest = tmp_path / "manifest.gz"
    write_manifest(tmp_path / "daily", manifest)
    sources = (Source("docker-volumes", (str(live / "volumes"),)),)
    mounts = [Mount(point, "0:1", "ext4", "", False) for point in ("/", *mount_points)]
    return plan_stages(manifest, Chooser(wish, sources), sources, SEAL, wish, mounts)


def test_new_content_is_made_beside_what_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "live/volumes/db").mkdir(parents=True)
    (stage,) = planned(tmp_path, Wish(volumes=("db",)))
    live = tmp_path / "live/volumes/db"
    assert live_paths([stage]) == [str(live)]
    assert os.path.dirname(stage.directory) == str(tmp_path / "live/volumes")
    assert is_ours(os.path.basename(stage.directory))
    assert stage.download_bytes == len("db/base")
    (move,) = make_moves([stage], "ID")
    assert (move.live, move.aside) == (str(live), f"{live}.lepotato-before-ID")
    assert move.staged == f"{stage.directory}/docker-volumes{live}"


def test_what_is_missing_above_comes_with_it(tmp_path: Path) -> None:
    (stage,) = planned(tmp_path, Wish(paths=(f"{tmp_path}/live/volumes/web/index.html",)))
    (move,) = make_moves([stage], "ID")
    assert (move.live, move.aside) == (str(tmp_path / "live"), "")
    assert os.path.dirname(stage.directory) == str(tmp_path)


def test_a_mount_point_is_replaced_name_by_name(tmp_path: Path) -> None:
    volumes = tmp_path / "live/volumes"
    (volumes / "old").mkdir(parents=True)
    (volumes / "lost+found").mkdir()
    (stage,) = planned(tmp_path, Wish(), str(volumes))
    assert os.path.dirname(stage.directory) == str(volumes)
    (Path(stage.directory) / "docker-volumes" / str(volumes / "db").lstrip("/")).mkdir(parents=True)
    moves = make_moves([stage], "ID")
    assert [
        (os.path.basename(move.live), bool(move.staged), bool(move.aside)) for move in moves
    ] == [
        ("db", True, False),
        ("old", False, True),
    ]


def test_a_mount_below_is_refused(tmp_path: Path) -> None:
    (tmp_path / "live/volumes/db").mkdir(parents=True)
    with pytest.raises(BackupError, match="is mounted below it"):
        planned(tmp_path, Wish(volumes=("db",)), str(tmp_path / "live/volumes/db/inner"))


def test_long_names_keep_room_for_the_suffix(tmp_path: Path) -> None:
    live = tmp_path / "live/volumes"
    (live / ("n" * 255)).mkdir(parents=True)
    (stage,) = planned(tmp_path, Wish(), str(live))
    (move,) = make_moves([stage], "20261122T020000Z")
    assert len(os.path.basename(move.aside)) <= 255


def test_compose_projects_are_found_one_directory_down(tmp_path: Path) -> None:
    for name in ("a/compose.yml", "b/docker-compose.yaml", "b/compose.yaml", "c/d/compose.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("services: {}\n")
    found = find_projects([str(tmp_path), "/does/not/exist"])
    assert [project.file for project in found] == [
        str(tmp_path / "a/compose.yml"),
        str(tmp_path / "b/compose.yaml"),
    ]
