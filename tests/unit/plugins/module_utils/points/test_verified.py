# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.points import verified as module
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    point_id,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.verified import (
    Verification,
    note_verified,
    read_verified,
    verified_of,
)

SEAL = Seal(
    id="20261122T020000Z",
    host="potato",
    started_at="2026-11-22T02:00:00Z",
    sealed_at="2026-11-22T02:14:09Z",
    version_at="2026-11-22T02:14:11Z",
    manifest=ManifestReference("manifests/x", "0" * 64, 1),
    trees={},
    upload=Amount(1, 1),
)


def test_without_a_memory_the_seal_is_what_is_known(tmp_path: Path) -> None:
    assert read_verified(StateFiles(str(tmp_path))) == {}
    assert verified_of(SEAL, {}) == Verification(SEAL.sealed_at, "count")


def test_the_newest_look_counts_good_or_bad(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path))
    note_verified(state, SEAL.id, Verification("2026-11-23T09:00:00Z"))
    assert verified_of(SEAL, read_verified(state)).at == "2026-11-23T09:00:00Z"
    note_verified(state, SEAL.id, Verification("2026-11-24T09:00:00Z", error="3 are missing"))
    assert verified_of(SEAL, read_verified(state)).error == "3 are missing"
    # A night of that name sealed later than the memory of it (a board whose clock went back).
    older = {SEAL.id: Verification("2026-11-01T00:00:00Z", error="once")}
    assert verified_of(SEAL, older) == Verification(SEAL.sealed_at)


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', '{"x": {"who": "knows"}}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    state = StateFiles(str(tmp_path))
    Path(state.verified).write_text(content, encoding="utf-8")
    assert read_verified(state) == {}
    note_verified(state, SEAL.id, Verification("2026-11-23T09:00:00Z"))
    assert list(read_verified(state)) == [SEAL.id]


def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_KEPT", 3)
    state = StateFiles(str(tmp_path))
    names = [point_id(86400.0 * day) for day in range(5)]
    for name in names:
        note_verified(state, name, Verification("2026-11-23T09:00:00Z"))
    assert list(read_verified(state)) == names[2:]
