# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone when B2, the key or the passwords are not as they should be: what it says, how soon."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from integration.remote_support import Remote, needs_rclone, write_tree
from integration.waits import wait_for

from ansible_collections.lepotato.backup.plugins.module_utils.base.progress import TransferStats
from ansible_collections.lepotato.backup.plugins.module_utils.rclone import (
    commands as rclone_module,
)
from ansible_collections.lepotato.backup.plugins.module_utils.rclone import flags as rclone_flags
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Size
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.log import (
    RcloneCapExceeded,
    RcloneError,
    RcloneStalled,
    RcloneUnauthorized,
    RcloneUndecryptable,
)

pytestmark = needs_rclone

# Left alone, rclone tries for hours.
SOON_SECONDS = 300


def test_wrong_password_is_told_from_an_empty_prefix(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    assert rclone.check_names() == ["daily/"]
    remote.write_conf(password="other")
    with pytest.raises(RcloneUndecryptable, match="lepotato_backup_password2"):
        rclone.check_names()


def test_names_are_checked_in_few_calls(remote: Remote) -> None:
    # rclone asks for PREFIX itself, which a key for PREFIX/ may not, and tries again and again.
    remote.b2.reset_stats()
    remote.rclone().check_names()
    assert remote.b2.stats()["calls_total"] <= 8


def test_cap_exceeded(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1"})
    remote.b2.fault("cap_exceeded", "b2_upload_file", count=0)
    rclone = remote.rclone()
    with pytest.raises(RcloneCapExceeded, match="Caps & Alerts"):
        rclone.sync(str(source), rclone.crypt("daily"))


def test_key_without_a_capability(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rclone_flags, "RETRIES_SLEEP", "0s")
    monkeypatch.setattr(rclone_flags, "LOW_LEVEL_RETRIES", 1)
    source = write_tree(tmp_path / "source", {"a": b"1"})
    remote.write_conf(key=remote.make_key(["listFiles", "readFiles"]))
    rclone = remote.rclone()
    with pytest.raises(RcloneUnauthorized, match="lepotato_backup_b2_key"):
        rclone.sync(str(source), rclone.crypt("daily"))


def test_a_binary_that_is_not_there(remote: Remote) -> None:
    rclone = remote.rclone()
    object.__setattr__(rclone.config, "binary", "/nowhere/rclone")
    with pytest.raises(RcloneError, match="/nowhere/rclone"):
        rclone.names(rclone.crypt())


@pytest.mark.parametrize(
    ("stall_seconds", "key_check_seconds", "kind", "words"),
    [
        (10, 600, RcloneStalled, "made no progress for 10 s and was ended"),
        (900, 2, RcloneUnauthorized, "does not accept the application key"),
    ],
)
def test_a_key_revoked_in_mid_upload_ends_the_run(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stall_seconds: int,
    key_check_seconds: float,
    kind: type[RcloneError],
    words: str,
) -> None:
    monkeypatch.setattr(rclone_module, "STATS_SECONDS", 1)
    monkeypatch.setattr(rclone_module, "KEY_CHECK_SECONDS", key_check_seconds)
    source = write_tree(tmp_path / "source", {str(n): os.urandom(2000) for n in range(500)})
    remote.b2.link(delay_seconds=0.1)
    rclone = remote.rclone(stall_timeout_seconds=stall_seconds)

    ended = threading.Event()

    def revoke() -> float:
        wait_for(
            lambda: ended.is_set() or len(remote.b2.files(remote.bucket)) >= 20, "20 files are sent"
        )
        remote.b2.delete_key(remote.key)
        return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        revoked = pool.submit(revoke)
        try:
            with pytest.raises(RcloneError, match=words) as caught:
                rclone.sync(str(source), rclone.crypt("daily"))
        finally:
            ended.set()
    assert time.monotonic() - revoked.result() < SOON_SECONDS
    assert type(caught.value) is kind
    assert "lepotato_backup_b2_key" in caught.value.hint
    # Asked of the server: rclone tells its counters once a second, and may be killed before.
    assert 20 <= len(remote.b2.files(remote.bucket)) < 500


def test_an_interrupted_large_upload_is_cancelled_and_sent_again(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # rclone uploads in parts from 200 MiB on; here from 5 MiB on, to be quick.
    monkeypatch.setenv("RCLONE_B2_UPLOAD_CUTOFF", "5M")
    size_bytes = 30 * 1024**2
    source = write_tree(tmp_path / "source", {"large": b""})
    with (source / "large").open("wb") as stream:
        stream.truncate(size_bytes)
    remote.b2.link(bytes_per_second_total=5_000_000)
    rclone = remote.rclone()
    client = remote.read().client()

    class Stop(Exception):
        """Raised in mid-upload, as a signal handler of the program does."""

    def stop_late(stats: TransferStats) -> None:
        if stats.bytes > 0:
            raise Stop

    with pytest.raises(Stop):
        rclone.sync(str(source), rclone.crypt("daily"), on_progress=stop_late)
    # rclone cancelled it at SIGTERM, or did not come to it: afterwards there is none.
    remote.b2.link()
    client.cancel_unfinished(remote.bucket, "potato/")
    assert list(client.list_unfinished_large_files(remote.bucket, "potato/")) == []
    assert rclone.size(rclone.crypt("daily")) == Size(0, 0)
    rclone.sync(str(source), rclone.crypt("daily"))
    assert rclone.size(rclone.crypt("daily")) == Size(1, size_bytes)
