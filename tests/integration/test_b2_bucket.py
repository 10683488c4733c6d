# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module b2_bucket against the stand-in: check, change, idempotence, and what it refuses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from integration.ansible_runs import CHECKOUT, run_playbook_file
from integration.remote_support import run_module

from b2_standin.client import Key, StandIn

_numbers = itertools.count(1)

RULE = {
    "fileNamePrefix": "",
    "daysFromHidingToDeleting": 30,
    "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
}


@pytest.fixture
def name() -> str:
    return f"my-bucket-{next(_numbers)}"


def settings(b2: StandIn, name: str) -> dict[str, Any]:
    """What the server says of the bucket."""
    buckets = b2.call("GET", "buckets")["buckets"]
    return next((found for found in buckets if found["bucketName"] == name), {})


def run(
    b2: StandIn, directory: Path, name: str, key: Key | None = None, **arguments: Any
) -> dict[str, Any]:
    used = key or b2.master_key
    result = run_module(
        "b2_bucket",
        directory,
        name=name,
        application_key_id=used.application_key_id,
        application_key=used.application_key,
        endpoint=b2.url,
        **arguments,
    )
    assert used.application_key not in json.dumps(
        {key: value for key, value in result.items() if key != "invocation"}
    )
    assert used.application_key not in json.dumps(result.get("invocation", {}))
    return result


def test_check_change_idempotence_and_diff(b2: StandIn, tmp_path: Path, name: str) -> None:
    checked = run(b2, tmp_path, name, _ansible_check_mode=True, _ansible_diff=True)
    assert checked["changed"] is True
    assert settings(b2, name) == {}

    made = run(b2, tmp_path, name, _ansible_diff=True)
    assert made["changed"] is True
    assert made["diff"] == checked["diff"]
    assert made["diff"]["before"] == {}
    assert made["diff"]["after"]["rules"] == [RULE]
    found = settings(b2, name)
    assert found["bucketType"] == "allPrivate"
    assert {
        key: value for key, value in found["lifecycleRules"][0].items() if value is not None
    } == (RULE)

    for check in (False, True):
        again = run(b2, tmp_path, name, _ansible_check_mode=check)
        assert again["changed"] is False
        assert again["bucket"] == made["bucket"]
    assert settings(b2, name)["revision"] == found["revision"]


def test_a_weak_bucket_is_mended_and_a_strong_one_is_not_weakened(
    b2: StandIn, tmp_path: Path, name: str
) -> None:
    b2.make_bucket(
        name, [{"fileNamePrefix": "", "daysFromHidingToDeleting": 5}], bucketType="allPublic"
    )
    mended = run(b2, tmp_path, name)
    assert mended["changed"] is True
    assert settings(b2, name)["bucketType"] == "allPrivate"
    assert run(b2, tmp_path, name, history_days=90)["changed"] is True

    kept = run(b2, tmp_path, name, history_days=30)
    assert kept["changed"] is False
    assert "allow_weaker" in kept["kept"][0]
    assert settings(b2, name)["lifecycleRules"][0]["daysFromHidingToDeleting"] == 90
    weaker = run(b2, tmp_path, name, history_days=30, allow_weaker=True)
    assert weaker["changed"] is True
    assert settings(b2, name)["lifecycleRules"][0]["daysFromHidingToDeleting"] == 30


@pytest.mark.parametrize("exists", [False, True])
def test_encryption_and_object_lock(b2: StandIn, tmp_path: Path, name: str, exists: bool) -> None:
    if exists:
        b2.make_bucket(name)
    wanted: dict[str, Any] = {"encryption": True, "object_lock": True, "object_lock_days": 20}
    assert run(b2, tmp_path, name, **wanted)["changed"] is True
    again = run(b2, tmp_path, name, **wanted)
    assert again["changed"] is False
    bucket = again["bucket"]
    assert (bucket["encryption"], bucket["object_lock"]) == (True, True)
    assert (bucket["lock_mode"], bucket["lock_days"]) == ("governance", 20)
    # Not asked for any more: it stays.
    assert run(b2, tmp_path, name)["changed"] is False


def test_what_can_not_be_done_is_named(b2: StandIn, tmp_path: Path, name: str) -> None:
    wrong = Key(b2.master_key.application_key_id, "K-wrong")
    assert "application_key_id and application_key" in run(b2, tmp_path, name, wrong)["msg"]
    b2.make_bucket(name)
    reader = b2.make_key(["listBuckets", "readBuckets"])
    failed = run(b2, tmp_path, name, reader)
    assert failed["failed"]
    assert name in failed["msg"]
    assert "history_days must be at least 1" in run(b2, tmp_path, name, history_days=0)["msg"]
    assert "needs object_lock" in run(b2, tmp_path, name, object_lock_days=5)["msg"]


def test_a_rule_for_some_of_the_same_files_is_named_before_anything_changes(
    b2: StandIn, tmp_path: Path, name: str
) -> None:
    b2.make_bucket(
        name, [{"fileNamePrefix": "photos/", "daysFromHidingToDeleting": 5}], bucketType="allPublic"
    )
    before = settings(b2, name)
    for check in (True, False):
        failed = run(b2, tmp_path, name, _ansible_check_mode=check)
        assert "lifecycle rule for 'photos/'" in failed["msg"]
        assert "set prefix" in failed["msg"]
    assert settings(b2, name) == before
    assert run(b2, tmp_path, name, prefix="potato/")["changed"] is True
    assert len(settings(b2, name)["lifecycleRules"]) == 2


def test_the_playbook_makes_the_bucket_once(b2: StandIn, tmp_path: Path, name: str) -> None:
    variables = {
        "lepotato_backup_bucket": name,
        "lepotato_backup_b2_endpoint": b2.url,
        "lepotato_backup_admin_key_id": b2.master_key.application_key_id,
        "lepotato_backup_admin_key": b2.master_key.application_key,
    }
    playbook = CHECKOUT / "playbooks/bucket.yml"
    for options, changes in ((("--check", "--diff"), 1), (("--diff",), 1), ((), 0)):
        run = run_playbook_file(tmp_path, {"potato": variables}, playbook, *options)
        assert run.exit_code == 0, run.output
        assert len(run.changed("potato")) == changes
        assert b2.master_key.application_key not in run.output
        assert bool(settings(b2, name)) is ("--check" not in options)
    found = settings(b2, name)["lifecycleRules"]
    assert [rule["daysFromHidingToDeleting"] for rule in found] == [30]

    del variables["lepotato_backup_admin_key"]
    run = run_playbook_file(tmp_path, {"potato": variables}, playbook)
    assert run.exit_code != 0
    assert "Set lepotato_backup_bucket, and lepotato_backup_admin_key_id" in run.failure("potato")
