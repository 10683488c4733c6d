# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    ConfigError,
    Interrupted,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.run_record import (
    RECORDS_KEPT,
    RunRecord,
    Stopwatch,
    begin_record,
    close_killed_records,
    read_last_record,
    store_record,
)


@pytest.mark.parametrize(
    ("error", "warnings", "outcome", "exit_code"),
    [
        (None, [], "ok", 0),
        (None, ["container web is not healthy"], "warnings", 3),
        (BackupError("no"), [], "failed", 1),
        (ConfigError("no"), ["w"], "failed", 2),
        (RuntimeError("bug"), [], "failed", 1),
        (Interrupted(15, "SIGTERM"), [], "interrupted", 1),
    ],
)
def test_outcome_and_exit_code_follow_what_happened(
    error: BaseException | None, warnings: list[str], outcome: str, exit_code: int
) -> None:
    record = RunRecord("potato", 1795312800.0)
    record.finish(error, warnings, "upload")
    stored = record.to_json()
    assert (stored["outcome"], stored["exit_code"]) == (outcome, exit_code)
    assert stored["started_at"] == "2026-11-22T02:00:00Z"
    assert stored["id"] == "20261122T020000Z"


def test_records_are_kept_private_and_bounded(tmp_path: Path) -> None:
    for number in range(RECORDS_KEPT + 3):
        record = RunRecord("potato", 1795312800.0 + 86400 * number)
        record.finish(None, [], "")
        path = store_record(str(tmp_path), record)
    names = sorted(os.listdir(tmp_path / "runs"))
    assert len(names) == RECORDS_KEPT
    assert names[-1] == os.path.basename(path)
    last = json.loads((tmp_path / "last_run.json").read_text(encoding="utf-8"))
    assert f"{last['id']}.json" == names[-1]


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b'{"id": "x', b"[]", b"{}", b"\xff"])
def test_a_damaged_record_is_told_by_name(tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(BackupError, match="no run has ended"):
        read_last_record(str(tmp_path))
    (tmp_path / "last_run.json").write_bytes(damage)
    with pytest.raises(BackupError, match=r"last_run\.json is not a run record"):
        read_last_record(str(tmp_path))


def test_a_part_that_fails_is_timed_too() -> None:
    record = RunRecord("potato", 0.0)
    times = iter([10.0, 12.5])
    with pytest.raises(BackupError), Stopwatch(record, "upload", lambda: next(times)):
        raise BackupError("no")
    assert record.seconds == {"upload": 2.5}


def test_a_record_that_was_only_begun_is_closed_as_interrupted_once(tmp_path: Path) -> None:
    good = RunRecord("potato", 1795312800.0)
    good.finish(None, [], "")
    store_record(str(tmp_path), good)
    killed = RunRecord("potato", 1795399200.0)
    begin_record(str(tmp_path), killed)
    last = tmp_path / "last_run.json"
    assert json.loads(last.read_text(encoding="utf-8"))["outcome"] == "ok"

    assert close_killed_records(str(tmp_path)) == [killed.id]
    told = json.loads(last.read_text(encoding="utf-8"))
    assert (told["id"], told["outcome"], told["exit_code"]) == (killed.id, "interrupted", 1)
    assert "killed" in told["error"]
    assert told["duration_seconds"] >= 0
    assert close_killed_records(str(tmp_path)) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b'{"outcome": "runn', b"[]", b"{}"])
def test_a_torn_record_stops_nobody(tmp_path: Path, content: bytes) -> None:
    assert close_killed_records(str(tmp_path)) == []
    begin_record(str(tmp_path), RunRecord("potato", 1795312800.0))
    (tmp_path / "runs/20261122T020000Z.json").write_bytes(content)
    assert close_killed_records(str(tmp_path)) == []
