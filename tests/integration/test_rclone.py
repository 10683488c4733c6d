# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone as the night calls it: real rclone, the stand-in for B2."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from integration.remote_support import RCLONE, Remote, needs_rclone, read_tree, write_tree

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from ansible_collections.lepotato.backup.plugins.module_utils.base.progress import TransferStats
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Size
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.log import (
    RcloneError,
    RcloneNotFound,
)
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.name_lists import read_listing

pytestmark = needs_rclone


def test_reveal_reads_what_the_filter_wrote() -> None:
    for password in ("x", "  spaces  ", "Pässwort 🥔", "a" * 1000, "-dash"):
        revealed = subprocess.run(
            [RCLONE, "reveal", "--", rclone_obscure(password, "c")], capture_output=True, check=True
        )
        assert revealed.stdout.decode() == password + "\n"


def test_sync_hides_what_is_gone_and_the_past_stays_readable(
    remote: Remote, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", {"a": b"old", "gone": b"g"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    remote.b2.advance_clock(60)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(remote.b2.now()))
    remote.b2.advance_clock(60)
    (source / "a").write_bytes(b"newer")
    (source / "gone").unlink()
    result = rclone.sync(str(source), rclone.crypt("daily"))
    assert (result.stats.transfers, result.stats.deletes) == (1, 1)
    assert rclone.cat(rclone.crypt("daily/a")) == b"newer"
    assert rclone.names(rclone.crypt("daily")) == ["a"]

    assert rclone.cat(rclone.crypt("daily/a"), version_at=then) == b"old"
    assert rclone.names(rclone.crypt("daily"), version_at=then) == ["a", "gone"]
    assert rclone.size(rclone.crypt("daily"), version_at=then) == Size(2, 4)
    rclone.copy(rclone.crypt("daily"), str(tmp_path / "back"), version_at=then)
    assert read_tree(bytes(tmp_path / "back")) == {b"a": b"old", b"gone": b"g"}
    # A key without deleteFiles is enough for all of it.
    assert "b2_delete_file_version" not in remote.b2.stats()["calls"]


def test_dry_run_says_what_it_would_do(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1", "b": b"2"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    (source / "a").unlink()
    (source / "c").write_bytes(b"3")
    result = rclone.sync(str(source), rclone.crypt("daily"), dry_run=True)
    assert result.planned["copy"] == 1
    assert result.planned["delete"] == 1
    assert {("copy", "c"), ("delete", "a")} <= set(result.planned_names)
    assert rclone.names(rclone.crypt("daily")) == ["a", "b"]


def test_too_many_deletions_are_refused(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {str(number): b"x" for number in range(10)})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    for number in range(8):
        (source / str(number)).unlink()
    with pytest.raises(RcloneError, match="max-delete"):
        rclone.sync(str(source), rclone.crypt("daily"), max_delete=3)
    assert rclone.size(rclone.crypt("daily")).files >= 7


def test_one_object_in_and_out(remote: Remote, tmp_path: Path) -> None:
    rclone = remote.rclone()
    data = bytes(range(256)) * 5 + b"\r\n"
    rclone.rcat(data, rclone.crypt("points/p.json"))
    assert rclone.cat(rclone.crypt("points/p.json")) == data
    local = write_tree(tmp_path, {"m": data}) / "m"
    rclone.copyto(str(local), rclone.crypt("manifests/m"))
    rclone.copyto(rclone.crypt("manifests/m"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    # Once more: that it is there already does not mean that there is no source.
    rclone.copyto(rclone.crypt("manifests/m"), str(tmp_path / "back"))
    rclone.rcat(b"", rclone.crypt("points/empty"))
    assert rclone.cat(rclone.crypt("points/empty")) == b""
    assert rclone.names(rclone.crypt()) == ["manifests/", "points/"]
    for call in (
        lambda: rclone.cat(rclone.crypt("points/none")),
        lambda: rclone.copyto(rclone.crypt("points/none"), str(tmp_path / "none")),
        lambda: rclone.cat(rclone.crypt("none/none")),
        lambda: rclone.cat(rclone.crypt("points/p.json"), version_at="2020-01-01T00:00:00Z"),
    ):
        with pytest.raises(RcloneNotFound, match="not found"):
            call()


def test_nothing_there_is_empty(remote: Remote, tmp_path: Path) -> None:
    rclone = remote.rclone()
    listing = tmp_path / "listing"
    assert rclone.names(rclone.crypt("daily")) == []
    assert rclone.size(rclone.crypt("daily")) == Size(0, 0)
    rclone.list_to(rclone.crypt("daily"), str(listing))
    assert list(read_listing(str(listing))) == []
    assert rclone.check_names() == []
    assert rclone.copy(rclone.crypt("daily"), str(tmp_path / "back")).stats.transfers == 0
    # Finding nothing there is an answer, not something for the log.
    assert remote.heard == []


def test_progress_is_told(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {str(n): os.urandom(200_000) for n in range(10)})
    remote.b2.link(bytes_per_second_total=1_000_000)
    seen: list[TransferStats] = []
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"), on_progress=seen.append)
    assert len(seen) >= 2
    # Encrypted, there are some bytes more.
    assert seen[0].bytes < 2_000_000 <= seen[-1].bytes <= 2_002_000


def test_the_measured_flags_and_no_secret_on_the_command_line(
    remote: Remote, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", {"big": os.urandom(300_000)})
    seen = tmp_path / "seen"
    seen.mkdir()
    # What everybody on the machine can see of it, kept in the moment before it is rclone.
    shown = tmp_path / "shown-rclone"
    shown.write_text(
        f'#!/bin/sh\ncat /proc/$$/cmdline > "{seen}/$$.cmdline"\n'
        f'cat /proc/$$/environ > "{seen}/$$.environ"\nexec "{RCLONE}" "$@"\n'
    )
    shown.chmod(0o755)
    rclone = remote.rclone(bandwidth_limit="50M")
    object.__setattr__(rclone.config, "binary", str(shown))
    rclone.sync(str(source), rclone.crypt("daily"))
    commands = [path.read_text().split("\0") for path in sorted(seen.glob("*.cmdline"))]
    environments = [path.read_text().split("\0") for path in sorted(seen.glob("*.environ"))]
    (number,) = (place for place, command in enumerate(commands) if str(source) in command)
    assert "GOGC=20" in environments[number]
    assert "RCLONE_B2_UPLOAD_CONCURRENCY=2" in environments[number]
    for flag in ("--buffer-size=0", "--b2-chunk-size=5M", "--transfers=12", "--bwlimit=50M"):
        assert flag in commands[number]
    for secret in (remote.key.application_key, rclone_obscure("one", "1")):
        assert not any(secret in word for words in commands + environments for word in words)
