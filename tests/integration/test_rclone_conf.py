# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone.conf is replaced only by one that is proven, and tells nobody its secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from integration.remote_support import RCLONE, Remote, needs_rclone, run_module

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from b2_standin.client import StandIn

pytestmark = [
    needs_rclone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the file belongs to root"),
]


class Host:
    """A remote, and the file that the module writes."""

    def __init__(self, remote: Remote, directory: Path) -> None:
        self.remote = remote
        self.directory = directory
        self.dest = directory / "etc/rclone.conf"
        self.dest.parent.mkdir()

    def write(self, content: str, **arguments: Any) -> dict[str, Any]:
        return run_module(
            "rclone_conf",
            self.directory,
            **{"content": content, "dest": str(self.dest), "binary": RCLONE, **arguments},
        )

    def put_something(self) -> None:
        rclone = self.remote.rclone()
        rclone.rcat(b"x", rclone.crypt("points/x.json"))

    def is_clean(self) -> bool:
        """Nothing is left beside the file."""
        return {path.name for path in self.dest.parent.iterdir()} <= {"rclone.conf"}

    def secrets(self) -> list[str]:
        return [
            self.remote.key.application_key,
            rclone_obscure("one", "1"),
            rclone_obscure("two", "2"),
            rclone_obscure("other", "1"),
        ]


@pytest.fixture
def host(b2: StandIn, tmp_path: Path) -> Host:
    return Host(Remote(b2, tmp_path), tmp_path)


def test_writes_what_is_proven(host: Host) -> None:
    host.put_something()
    content = host.remote.conf()
    result = host.write(content)
    assert (result["changed"], result["proven"]) == (True, True)
    assert result["proof"]["bucket"] == host.remote.bucket
    assert result["proof"]["passwords_proven"] is True
    assert host.dest.read_text() == content
    status = host.dest.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o600, 0, 0)
    assert host.is_clean()


def test_the_same_again_changes_nothing_and_asks_nothing(host: Host) -> None:
    host.write(host.remote.conf())
    host.remote.b2.reset_stats()
    result = host.write(host.remote.conf())
    assert (result["changed"], result["proven"]) == (False, False)
    assert host.remote.b2.stats()["calls_total"] == 0


def test_a_readable_file_is_closed_without_asking(host: Host) -> None:
    host.write(host.remote.conf())
    host.dest.chmod(0o644)
    os.chown(host.dest, 1234, 1234)
    host.remote.b2.reset_stats()
    assert host.write(host.remote.conf(), _ansible_check_mode=True)["changed"]
    assert host.dest.stat().st_mode & 0o7777 == 0o644
    assert host.write(host.remote.conf())["changed"]
    assert (host.dest.stat().st_mode & 0o7777, host.dest.stat().st_uid) == (0o600, 0)
    assert host.remote.b2.stats()["calls_total"] == 0


def test_a_new_key_replaces_the_old_one(host: Host) -> None:
    host.write(host.remote.conf())
    new = host.remote.conf(key=host.remote.make_key())
    result = host.write(new)
    assert (result["changed"], result["proven"]) == (True, True)
    assert host.dest.read_text() == new


@pytest.mark.parametrize("is_check", [False, True])
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("key", "lepotato_backup_b2_key_id"),
        ("capability", "lacks writeFiles"),
        ("bucket", "lepotato_backup_bucket"),
        ("unreachable", "can't be reached"),
        ("password", "lepotato_backup_password and lepotato_backup_password2 do not decrypt"),
        ("syntax", "line 2 is neither"),
    ],
)
def test_a_failed_proof_leaves_the_old_file(
    host: Host, case: str, words: str, is_check: bool
) -> None:
    host.put_something()
    good = host.remote.conf()
    host.write(good, prove=False)
    remote = host.remote
    bad = {
        "key": remote.conf(key=remote.key._replace(application_key="K002nonsense")),
        "capability": remote.conf(key=remote.make_key(["listFiles", "readFiles"])),
        "bucket": remote.conf(bucket="not-my-bucket"),
        "unreachable": remote.conf(endpoint="http://127.0.0.1:9"),
        "password": remote.conf(password="other"),
        "syntax": "[b2-backup]\nK002nonsense\n",
    }[case]
    result = host.write(bad, _ansible_check_mode=is_check, _ansible_diff=True)
    assert result["failed"]
    assert words in result["msg"]
    assert host.dest.read_text() == good
    assert host.is_clean()
    shown = json.dumps(result)
    assert not any(secret in shown for secret in [*host.secrets(), "K002nonsense"])
    if case == "password":
        assert result["rc"] == 1
        assert result["command"][:2] == [RCLONE, "lsf"]
        assert "undecryptable" in result["stderr"]


def test_check_mode_proves_and_writes_nothing(host: Host) -> None:
    result = host.write(host.remote.conf(), _ansible_check_mode=True)
    assert (result["changed"], result["proven"]) == (True, True)
    assert not host.dest.exists()
    assert host.is_clean()
    # On a bare host not even the directory is there.
    result = host.write(
        host.remote.conf(), dest=f"{host.directory}/none/x", _ansible_check_mode=True
    )
    assert (result["changed"], result["proven"]) == (True, True)


def test_check_mode_without_rclone_proves_the_key_and_says_so(host: Host) -> None:
    result = host.write(host.remote.conf(), binary="/nowhere/rclone", _ansible_check_mode=True)
    assert result["changed"]
    assert result["proof"]["passwords_proven"] is False
    assert "there is no /nowhere/rclone yet" in json.dumps(result["warnings"])


def test_without_rclone_nothing_is_written(host: Host) -> None:
    result = host.write(host.remote.conf(), binary="/nowhere/rclone")
    assert "/nowhere/rclone" in result["msg"]
    assert not host.dest.exists()


def test_without_the_directory_it_says_so(host: Host) -> None:
    result = host.write(host.remote.conf(), dest=f"{host.directory}/none/rclone.conf")
    assert f"The directory {host.directory}/none is not there" in result["msg"]


def test_a_risky_key_is_written_with_a_warning(host: Host) -> None:
    key = host.remote.make_key(["listFiles", "readFiles", "writeFiles", "deleteFiles"])
    result = host.write(host.remote.conf(key=key))
    assert result["changed"]
    assert "deleteFiles" in json.dumps(result["warnings"])


def test_diff_through_ansible_shows_no_secret(host: Host) -> None:
    host.write(host.remote.conf(password="other"), prove=False)
    arguments = json.dumps(
        {"content": host.remote.conf(), "dest": str(host.dest), "binary": RCLONE}
    )
    ended = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local", "--diff",
            "-vvv", "-e", f"ansible_python_interpreter={sys.executable}",
            "-m", "lepotato.backup.rclone_conf", "-a", arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).parents[2] / ".collections"),
            "ANSIBLE_LOCAL_TEMP": str(host.directory / "local"),
            "ANSIBLE_REMOTE_TEMP": str(host.directory / "remote"),
            "ANSIBLE_NOCOLOR": "1",
        },
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    shown = ended.stdout + ended.stderr
    assert "password = (secret, changed)" in shown
    assert "password2 = (secret, unchanged)" in shown
    assert "key = (secret, unchanged)" in shown
    assert host.dest.read_text() == host.remote.conf()
    # Only the command line that the test itself gave may hold them: Ansible does not print it.
    assert not any(secret in shown for secret in host.secrets())
