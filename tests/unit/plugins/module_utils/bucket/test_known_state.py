# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.known_state import BucketState
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest

REMOTE = "https://b2 bucket/potato"


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    (tmp_path / "daily").mkdir()
    (tmp_path / "daily/file").write_bytes(b"1")
    state = StateFiles(str(tmp_path))
    write_manifest(str(tmp_path / "daily"), state.manifest)
    return state


def test_a_sealed_night_is_known_until_something_changes(state: StateFiles) -> None:
    bucket = BucketState(state, REMOTE)
    assert bucket.held() is None
    bucket.sealed(1000.0)
    held = bucket.held()
    assert held is not None
    assert held.reconciled_epoch_seconds == 1000.0
    assert Path(held.manifest).read_bytes() == Path(state.manifest).read_bytes()
    bucket.changing()
    assert BucketState(state, REMOTE).held() is None
    bucket.sealed(2000.0)
    bucket.sealed(2000.0)
    assert BucketState(state, REMOTE).held() is not None


def test_the_manifest_of_a_later_night_leaves_what_is_known_alone(
    state: StateFiles, tmp_path: Path
) -> None:
    bucket = BucketState(state, REMOTE)
    bucket.sealed(1000.0)
    before = Path(state.uploaded).read_bytes()
    (tmp_path / "daily/other").write_bytes(b"2")
    write_manifest(str(tmp_path / "daily"), state.manifest, previous=state.manifest)
    assert Path(state.uploaded).read_bytes() == before
    assert bucket.held() is not None


@pytest.mark.parametrize("damage", ["manifest", "manifest gone", "note", "note gone", "no fields"])
def test_what_is_damaged_is_not_known(state: StateFiles, damage: str) -> None:
    BucketState(state, REMOTE).sealed(1000.0)
    manifest, note = Path(state.uploaded), Path(state.bucket)
    if damage == "manifest":
        manifest.write_bytes(manifest.read_bytes()[:-1])
    elif damage == "manifest gone":
        manifest.unlink()
    elif damage == "note":
        note.write_text("{", encoding="utf-8")
    elif damage == "no fields":
        note.write_text(json.dumps({"clean": True, "remote": REMOTE}), encoding="utf-8")
    else:
        note.unlink()
    assert BucketState(state, REMOTE).held() is None


def test_another_bucket_or_prefix_is_not_known(state: StateFiles) -> None:
    BucketState(state, REMOTE).sealed(1000.0)
    assert BucketState(state, "https://b2 bucket/other").held() is None
