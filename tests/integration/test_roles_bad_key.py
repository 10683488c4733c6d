# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What B2 says of a new key is known before the roles change anything, rclone itself included.

All cases are hosts of one run of ansible-playbook, which is this machine under many names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from integration.ansible_runs import PlaybookRun, run_playbook
from integration.remote_support import PREFIX, Remote

from b2_standin.client import Key, StandIn

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: rclone.conf belongs to root"),
    pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs Debian"),
]

PROOF = "lepotato.backup.rclone : Prove the key, the bucket and the prefix"
# What is said of each host's key; nothing of the good one.
SAID = {
    "good": "",
    "risky": "",
    "unknown": "lepotato_backup_b2_key_id and lepotato_backup_b2_key",
    "no-writing": "The B2 key lepotato_backup_b2_key_id lacks writeFiles",
    "no-such-bucket": "Correct lepotato_backup_bucket",
    "other-prefix": "Correct lepotato_backup_host_prefix",
    "unreachable": "lepotato_backup_b2_endpoint",
}
TASKS: list[dict[str, Any]] = [
    {
        "name": "Assert what the role needs",
        "ansible.builtin.include_role": {
            "name": "lepotato.backup.rclone",
            "tasks_from": "preflight",
        },
    },
]


def _host(remote: Remote, key: Key, **own: Any) -> dict[str, Any]:
    return {
        "lepotato_backup_b2_key_id": key.application_key_id,
        "lepotato_backup_b2_key": key.application_key,
        "lepotato_backup_bucket": remote.bucket,
        "lepotato_backup_host_prefix": PREFIX,
        "lepotato_backup_password": "the first password",
        "lepotato_backup_password2": "the second password",
        "lepotato_backup_b2_endpoint": remote.b2.url,
        "rclone__config_path": str(remote.directory / "etc/rclone.conf"),
        "ansible_architecture": "aarch64",
        "ansible_os_family": "Debian",
        "ansible_distribution": "Debian",
        "ansible_distribution_major_version": "12",
        **own,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaybookRun]:
    directory = tmp_path_factory.mktemp("bad-key")
    with StandIn.start() as b2:
        remote = Remote(b2, directory)
        risky = remote.make_key(["listFiles", "readFiles", "writeFiles", "deleteFiles"])
        unknown = remote.key._replace(application_key="K002nonsense")
        hosts = {
            "good": _host(remote, remote.key),
            "risky": _host(remote, risky),
            "unknown": _host(remote, unknown),
            "no-writing": _host(remote, remote.make_key(["listFiles", "readFiles"])),
            "no-such-bucket": _host(remote, remote.key, lepotato_backup_bucket="not-my-bucket"),
            "other-prefix": _host(remote, remote.make_key(prefix="other/")),
            "unreachable": _host(
                remote, remote.key, lepotato_backup_b2_endpoint="http://127.0.0.1:9"
            ),
        }
        yield run_playbook(directory, hosts, TASKS, "--forks", "2", "--diff")


@pytest.mark.parametrize("name", sorted(SAID))
def test_b2_is_asked_before_anything_is_changed(run: PlaybookRun, name: str) -> None:
    assert [result.role_and_task for result in run.results[name]][-1] == PROOF
    assert bool(run.failure(name)) == bool(SAID[name])
    assert SAID[name] in run.failure(name)
    assert run.changed(name) == []


def test_a_risky_key_is_a_warning_already(run: PlaybookRun) -> None:
    proof = run.results["risky"][-1].result
    assert "deleteFiles" in str(proof["warnings"])


def test_no_secret_is_shown(run: PlaybookRun) -> None:
    secrets = ("K002nonsense", "the first password", "the second password")
    assert [secret for secret in secrets if secret in run.output] == []
