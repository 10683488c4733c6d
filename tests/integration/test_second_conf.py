# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second destination in rclone.conf: written once by the role, and no secret told."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from integration.ansible_runs import CHECKOUT, PlaybookRun, run_playbook
from integration.remote_support import RCLONE, Remote, needs_rclone
from integration.test_roles_bad_input import FACTS, TASKS

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from b2_standin.client import StandIn

from .second_place import PASSWORD, UsbDisk, served

pytestmark = [
    needs_rclone,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root"),
]

TOKEN = '{"access_token":"the-first-token","expiry":"2026-11-22T12:00:00Z"}'
RENEWED = TOKEN.replace("first", "renewed").replace("12:00", "13:00")
SECRETS = (PASSWORD, "the-first-token", "the-renewed-token", "password one", "password two")

WRITE = {
    "name": "Write the configuration",
    "lepotato.backup.rclone_conf": {
        "dest": "{{ case_dest }}",
        "content": "{{ lookup('ansible.builtin.template', case_template) }}",
        "binary": RCLONE,
    },
}


class Runs(NamedTuple):
    """The same play twice, and where each host's file lies; in between a token was renewed."""

    first: PlaybookRun
    second: PlaybookRun
    directory: Path

    def content(self, host: str) -> str:
        return (self.directory / host / "rclone.conf").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    directory = tmp_path_factory.mktemp("second")
    disk = UsbDisk(directory)
    with (
        StandIn.start(directory / "b2") as b2,
        served("sftp", directory / "nas") as port,
        disk.plugged_in(),
    ):
        remote = Remote(b2, directory)
        shared = {
            "case_facts": FACTS,
            "case_role": "rclone",
            "case_template": str(CHECKOUT / "roles/rclone/templates/rclone.conf.j2"),
            "lepotato_backup_b2_key_id": remote.key.application_key_id,
            "lepotato_backup_b2_key": remote.key.application_key,
            "lepotato_backup_b2_endpoint": b2.url,
            "lepotato_backup_bucket": remote.bucket,
            "lepotato_backup_host_prefix": "potato",
            "lepotato_backup_password": "password one",
            "lepotato_backup_password2": "password two",
        }
        sftp: dict[str, Any] = {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": port,
            "user": "potato",
            "shell_type": "none",
            "disable_hashcheck": True,
        }
        hosts: dict[str, dict[str, Any]] = {
            "disk": {"lepotato_backup_second_path": str(disk.path)},
            "no-disk": {"lepotato_backup_second_path": str(directory / "nothing/backup")},
            "server": {
                "lepotato_backup_second_remote": sftp,
                "lepotato_backup_second_remote_passwords": {"pass": PASSWORD},
                "lepotato_backup_second_remote_path": "boards",
            },
            "no-server": {
                "lepotato_backup_second_remote": {**sftp, "port": 9},
                "lepotato_backup_second_remote_passwords": {"pass": PASSWORD},
            },
            "token": {"lepotato_backup_second_remote": {"type": "drive", "token": TOKEN}},
        }
        for name, own in hosts.items():
            (directory / name).mkdir()
            own.update(shared, case_dest=str(directory / name / "rclone.conf"))
        tasks = [*TASKS[:-1], {**TASKS[-1]}, WRITE]
        tasks[-2]["ansible.builtin.include_role"] = {
            **TASKS[-1]["ansible.builtin.include_role"],
            "public": True,
        }
        first = run_playbook(directory, hosts, tasks, "--diff", "-vv")
        renew_token(directory / "token/rclone.conf")
        second = run_playbook(directory, hosts, tasks, "--diff", "-vv")
        yield Runs(first, second, directory)


def renew_token(path: Path) -> None:
    """As rclone does it: the file is written anew, laid out in its own way."""
    text = path.read_text(encoding="utf-8").replace(TOKEN, RENEWED)
    path.write_text(text.replace("\n\n", "\n") + "\n", encoding="utf-8")


@pytest.mark.parametrize("host", ["disk", "no-disk", "server", "no-server", "token"])
def test_it_is_written_once(runs: Runs, host: str) -> None:
    assert runs.first.failure(host) == ""
    assert runs.first.changed(host) == ["Write the configuration"]
    assert runs.second.failure(host) == ""
    assert runs.second.changed(host) == []


def test_no_secret_is_shown(runs: Runs) -> None:
    obscured = [
        rclone_obscure(PASSWORD, "second-backup.pass"),
        rclone_obscure("password one", "second-encrypted.password"),
        rclone_obscure("password two", "second-encrypted.password2"),
    ]
    assert obscured[0] in runs.content("server")
    assert obscured[1] in runs.content("disk")
    output = runs.first.output + runs.second.output
    assert [secret for secret in (*SECRETS, *obscured) if secret in output] == []
    diff = runs.first.results["server"][-1].result["diff"]["after"]
    assert "pass = (secret, changed)" in diff
    assert "host = 127.0.0.1" in diff


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("disk", ""),
        ("no-disk", "no disk is mounted there"),
        ("server", ""),
        ("no-server", "connection refused"),
    ],
)
def test_what_is_not_there_now_is_a_warning(runs: Runs, host: str, words: str) -> None:
    warnings = json.dumps(runs.first.results[host][-1].result.get("warnings", []))
    assert ("The second destination can't be used now" in warnings) is bool(words)
    assert words in warnings


def test_a_renewed_token_stays(runs: Runs) -> None:
    assert f"token = {RENEWED}" in runs.content("token")


def test_rclone_reads_what_was_written(runs: Runs) -> None:
    conf = str(runs.directory / "server/rclone.conf")
    command = [RCLONE, "--config", conf]
    subprocess.run([*command, "rcat", "second-encrypted:x"], input=b"data", check=True)
    listed = subprocess.run([*command, "lsf", "second-encrypted:"], capture_output=True, check=True)
    assert listed.stdout == b"x\n"
    assert len(os.listdir(runs.directory / "nas/boards/potato")) == 1
