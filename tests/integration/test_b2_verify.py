# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module b2_verify on a host: facts when all is well, the variable to mend when not."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from integration.remote_support import RCLONE, Remote, needs_rclone, run_module

from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    rfc3339,
    seal_path,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.verified import read_verified

pytestmark = needs_rclone


def verify(remote: Remote, **arguments: Any) -> dict[str, Any]:
    """Run the module with a config.json that names the remote's rclone.conf."""
    config = {
        "host": "potato",
        "bucket": remote.bucket,
        "host_prefix": "potato",
        "sources": [{"tree": "docker-volumes", "paths": ["/mnt/ssd/docker/volumes"]}],
        "rclone": {"binary": RCLONE, "config": str(remote.conf_path)},
        "paths": {"state": str(remote.directory / "state")},
    }
    path = remote.directory / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    result = run_module("b2_verify", remote.directory, config=str(path), **arguments)
    shown = json.dumps(result)
    assert remote.key.application_key not in shown
    assert not result.get("changed")
    return result


def seal(remote: Remote, objects: int) -> None:
    rclone = remote.rclone()
    for number in range(2):
        rclone.rcat(b"abc", rclone.crypt(f"daily/docker-volumes/{number}"))
    remote.b2.advance_clock(60)
    now = rfc3339(time.time())
    sealed = Seal(
        id="20261122T020000Z",
        host="potato",
        started_at=now,
        sealed_at=now,
        version_at=rfc3339(remote.b2.now()),
        manifest=ManifestReference("manifests/none", "0" * 64, 1),
        trees={"docker-volumes": Amount(objects, 3 * objects)},
        upload=Amount(objects, 3 * objects),
    )
    rclone.rcat(sealed.to_json().encode(), rclone.crypt(seal_path(sealed.id)))


def test_auth(remote: Remote) -> None:
    result = verify(remote)
    assert result["auth"]["bucket"] == remote.bucket
    assert result["auth"]["empty"] is True
    assert "count" not in result


def test_count(remote: Remote) -> None:
    seal(remote, objects=2)
    result = verify(remote, level="count")
    assert result["auth"]["passwords_proven"] is True
    assert result["count"]["point"] == "20261122T020000Z"
    assert result["count"]["found"] == {"files": 2, "bytes": 6}


def test_check_mode_reads_all_the_same(remote: Remote) -> None:
    assert verify(remote, _ansible_check_mode=True)["auth"]["prefix"] == "potato"


def test_a_count_is_noted_good_or_bad_and_not_in_check_mode(remote: Remote) -> None:
    seal(remote, objects=2)
    state = StateFiles(str(remote.directory / "state"))
    os.mkdir(state.directory)
    verify(remote, level="auth")
    verify(remote, level="count", _ansible_check_mode=True)
    assert read_verified(state) == {}
    verify(remote, level="count")
    assert read_verified(state)["20261122T020000Z"].error == ""
    seal(remote, objects=3)
    assert "msg" in verify(remote, level="count")
    assert "sealed with 3 objects" in read_verified(state)["20261122T020000Z"].error


def test_count_names_what_is_missing(remote: Remote) -> None:
    seal(remote, objects=3)
    result = verify(remote, level="count")
    assert result["failed"]
    assert "sealed with 3 objects of 9 bytes" in result["msg"]
    assert "holds 2 objects of 6 bytes" in result["msg"]
    assert "manifest can't be read" in result["msg"]


def test_count_without_a_seal(remote: Remote) -> None:
    assert "holds no sealed night" in verify(remote, level="count")["msg"]


def test_wrong_passwords(remote: Remote) -> None:
    seal(remote, objects=2)
    remote.write_conf(password2="other")
    result = verify(remote)
    assert "lepotato_backup_password2 do not decrypt" in result["msg"]
    assert (result["rc"], result["command"][0]) == (1, RCLONE)


def test_wrong_key(remote: Remote) -> None:
    remote.b2.delete_key(remote.key)
    assert "lepotato_backup_b2_key" in verify(remote)["msg"]


def test_risky_key_is_a_warning(remote: Remote) -> None:
    remote.write_conf(key=remote.b2.master_key)
    assert "deleteFiles" in json.dumps(verify(remote)["warnings"])


def test_missing_configuration(remote: Remote) -> None:
    os.unlink(remote.conf_path)
    result = verify(remote)
    assert f"{remote.conf_path} can't be read" in result["msg"]
    assert "site.yml" in result["msg"]


def test_malformed_program_configuration(remote: Remote) -> None:
    path = remote.directory / "bad.json"
    path.write_text('{"version": 1, "hots": "x"}', encoding="utf-8")
    result = run_module("b2_verify", remote.directory, config=str(path))
    assert "'hots'" in result["msg"]
