# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole nights and restores, with real rsync, real rclone and a bucket in the stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.points.weekly import local_date

from .night_host import BUCKET, DOWNLOADS, TIMEOUT_SECONDS, NightHost, differences
from .waits import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")


def restored_tree(host: NightHost, *wanted: str) -> Path:
    target = host.directory / "restored" / "-".join(wanted)
    done = host.program("restore", *wanted, "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    return target


def test_a_restored_night_is_the_tree_that_was(host: NightHost) -> None:
    record = host.night()
    assert record["outcome"] == "ok"
    assert record["upload"]["files"] == 62

    target = restored_tree(host, "daily")
    volumes = target / "docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(host.volumes, volumes) == ""
    assert (
        differences(host.compose, target / "docker-compose" / str(host.compose).lstrip("/")) == ""
    )
    assert sorted(os.listdir(target)) == ["docker-compose", "docker-volumes"]

    # In the bucket neither names nor contents can be read.
    names = [item["fileName"] for item in host.stand_in.files(BUCKET)]
    assert len(names) == 62 + 2
    assert not [name for name in names if "docker" in name or "compose" in name]
    # Nothing of it in the log: neither the key nor the passwords.
    log = host.log()
    assert "sealed" in log
    assert host.key.application_key not in log


def test_a_second_night_sends_only_what_changed_and_both_nights_restore(host: NightHost) -> None:
    first = host.night()
    before = host.directory / "before"
    shutil.copytree(host.volumes, before, symlinks=True)
    (host.volumes / "db/_data/base/004").write_bytes(b"changed")
    (host.volumes / "db/_data/base/005").unlink()
    time.sleep(1.1)
    second = host.night()
    # crypt adds 32 bytes to a file and 16 to each of its 64 KiB blocks.
    assert second["upload"] == {"files": 1, "bytes": 7 + 48, "hidden": 1, "reconciled": False}
    assert second["manifest"]["hashed_files"] == 1

    newest = restored_tree(host, "daily") / "docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(host.volumes, newest) == ""
    older = restored_tree(host, first["point"]) / "docker-volumes" / str(host.volumes).lstrip("/")
    assert (older / "db/_data/base/005").read_bytes() == (before / "db/_data/base/005").read_bytes()
    assert (older / "db/_data/base/004").read_bytes() == (before / "db/_data/base/004").read_bytes()

    listed = json.loads(host.program("snapshots", "--json").stdout)
    assert [point["id"] for point in listed] == [first["point"], second["point"]]
    assert host.program("verify").returncode == 0
    assert "ok: run" in host.program("status").stdout


def test_a_dry_run_touches_nothing_and_says_what_it_would_do(host: NightHost) -> None:
    def everything() -> list[tuple[str, int, int]]:
        trees = (host.ssd, host.state, host.compose)
        statuses = {path: path.lstat() for tree in trees for path in tree.rglob("*")}
        return sorted(
            (str(path), status.st_mtime_ns, status.st_ctime_ns)
            for path, status in statuses.items()
            # The lock is taken, and is the one file that a dry run leaves.
            if path.name != "run.lock"
        )

    def dry_run(*arguments: str) -> str:
        before, stored = everything(), host.stand_in.files(BUCKET)
        host.stand_in.reset_stats()
        done = host.program("run", "--dry-run", *arguments)
        assert done.returncode == 0, done.stderr
        assert everything() == before
        assert host.stand_in.files(BUCKET) == stored
        calls = host.stand_in.stats()["calls"]
        reads = ("authorize", "list", "download", "get")
        assert [name for name in calls if not name.removeprefix("b2_").startswith(reads)] == []
        return done.stderr

    today = local_date(time.time())
    host.write_config(weekly={"enabled": True, "weekday": today.strftime("%A").lower()})
    told = dry_run()
    assert "docker-volumes: would copy 61 of 62 files" in told
    assert "its disk would be remembered" in told
    assert "would compare the whole bucket" in told
    assert f"would keep staging as the snapshot backup-{today} on the SSD" in told
    assert f"would make the weekly point backup-{today} (reference)" in told

    host.night()
    (host.volumes / "db/_data/base/004").write_bytes(b"x" * 3000)
    (host.volumes / "db/_data/base/005").unlink()
    # No source any more.
    only = {"tree": "docker-volumes", "paths": [str(host.volumes)]}
    retention = {"daily_days": 1, "keep_at_least": 1}
    host.write_config(sources=[only], retention=retention, second={"enabled": False})
    time.sleep(1.1)
    told = dry_run("--accept-shrink", "--accept-disks")
    assert "docker-volumes: would copy 1 of 61 files, 3.0 kB, and remove 1 from staging" in told
    assert "daily/docker-compose from staging: it is not a source any more" in told
    assert "would send what changed: about 1 files, 3.0 kB" in told
    assert "weekly point" not in told


def test_a_second_run_is_refused_while_one_is_under_way(host: NightHost) -> None:
    with subprocess.Popen(host.command("run"), stderr=subprocess.DEVNULL) as first:
        with host.held("b2_upload_file", skip=8) as is_held:
            wait_for(is_held, "the first run sends its files", first)
            second = host.program("run")
        assert second.returncode == 75
        assert f"process {first.pid}" in second.stderr
        assert first.wait(timeout=TIMEOUT_SECONDS) == 0


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_night_ended_in_its_upload_leaves_the_last_point_and_is_made_up_for(
    host: NightHost, ending: signal.Signals
) -> None:
    first = host.night()
    for number in range(40):
        (host.volumes / f"db/_data/new{number}").write_bytes(os.urandom(1000))
    (host.volumes / "db/_data/base/006").write_bytes(b"second night")
    time.sleep(1.1)
    with (
        host.held("b2_upload_file", skip=8) as is_held,
        subprocess.Popen(host.command("run"), stderr=subprocess.DEVNULL) as run,
    ):
        wait_for(
            lambda: is_held() and len(host.stand_in.files(BUCKET)) >= 70, "some files are sent", run
        )
        run.send_signal(ending)
        expected = 1 if ending == signal.SIGTERM else -signal.SIGKILL
        assert run.wait(timeout=TIMEOUT_SECONDS) == expected
    older = restored_tree(host, "daily") / "docker-volumes" / str(host.volumes).lstrip("/")
    assert (older / "db/_data/base/006").read_bytes() != b"second night"
    assert not (older / "db/_data/new0").exists()

    record = host.night()
    assert record["upload"]["files"] < 41
    newest = restored_tree(host, record["point"])
    assert (
        differences(host.volumes, newest / "docker-volumes" / str(host.volumes).lstrip("/")) == ""
    )
    assert record["point"] != first["point"]


def test_an_unmounted_or_emptied_or_shrunken_source_changes_nothing(host: NightHost) -> None:
    host.night()
    staged = sorted(str(path) for path in (host.ssd / "backup-staging").rglob("*"))
    stored = host.stand_in.files(BUCKET)

    def refused(*arguments: str) -> str:
        done = host.program("run", *arguments)
        assert done.returncode == 1
        assert sorted(str(path) for path in (host.ssd / "backup-staging").rglob("*")) == staged
        assert host.stand_in.files(BUCKET) == stored
        return done.stderr

    aside = host.volumes.with_name("aside")
    host.volumes.rename(aside)
    assert f"the source {host.volumes} of docker-volumes is missing" in refused()
    host.volumes.mkdir()
    assert f"{host.volumes} of docker-volumes is an empty directory" in refused()
    (host.volumes / "one").write_bytes(b"1")
    assert "docker-volumes has 1 files and had 62" in refused()
    assert "SSD" not in host.program("run", "--accept-shrink").stderr
    assert host.program("verify").returncode == 0

    host.write_config(paths={**host.config()["paths"], "ssd": str(host.directory)})
    assert "lepotato_backup_ssd_mount" in host.program("run").stderr


def test_a_wrong_password_a_lost_key_and_a_dead_server_are_named(host: NightHost) -> None:
    host.night()
    host.write_conf(host.key, password2="wrong")
    assert "lepotato_backup_password2" in host.program("run").stderr
    host.write_conf(host.key)
    host.stand_in.delete_key(host.key)
    refused = host.program("run")
    assert refused.returncode == 1
    assert "lepotato_backup_b2_key" in refused.stderr
    status = host.program("status")
    assert status.returncode == 1
    assert "error in preflight" in status.stdout


def test_a_damaged_object_fails_the_restore_and_names_the_file(host: NightHost) -> None:
    host.night()
    largest = max(host.stand_in.files(BUCKET), key=lambda item: int(item["contentLength"]))
    smaller = [
        item["fileName"]
        for item in host.stand_in.files(BUCKET)
        if 200 < int(item["contentLength"]) < int(largest["contentLength"]) - 1000
    ]
    host.stand_in.damage(BUCKET, smaller[0], kind="flip", offset=60)
    target = host.directory / "damaged"
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 1
    assert "docker-volumes" in done.stderr


def test_a_restore_refuses_what_it_must_and_goes_on_after_an_interruption(host: NightHost) -> None:
    record = host.night()
    occupied = host.directory / "occupied"
    occupied.mkdir()
    (occupied / "mine").touch()
    refused = host.program("restore", "daily", "--yes", "--target", str(occupied))
    assert refused.returncode == 1
    assert "is not empty (mine)" in refused.stderr
    assert os.listdir(occupied) == ["mine"]
    unasked = host.program("restore", "daily", "--target", str(host.directory / "new"))
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    assert not (host.directory / "new").exists()

    plain = host.directory / "plain"
    plain.write_bytes(b"mine")
    link = host.directory / "dangling"
    link.symlink_to(host.directory / "nowhere")
    for target, told in (
        (plain, "is no directory"),
        (link, "is no directory"),
        (plain / "below", "above the target, is no directory"),
        (Path("/proc/restored"), "only 0 B are free"),
        (host.ssd / "backup-staging/weekly/restored", "lies in the staging directory"),
    ):
        done = host.program("restore", "daily", "--yes", "--target", str(target))
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
        assert "63 files" not in done.stderr
    assert plain.read_bytes() == b"mine"
    nameless = host.program("restore", "daily", "--yes", "--target", "")
    assert (nameless.returncode, "is a variable empty?" in nameless.stderr) == (2, True)
    inside = host.volumes / "restored"
    told = host.program("restore", "daily", "--target", str(inside)).stderr
    assert f"nights will back it up again there: it lies in the source {host.volumes}" in told

    target = host.directory / "again"
    command = host.command("restore", "daily", "--yes", "--target", str(target))
    with (
        host.held(*DOWNLOADS, skip=10) as is_held,
        subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run,
    ):
        wait_for(is_held, "the download is under way", run)
        assert (target / "docker-volumes").exists()
        run.kill()
    resumed = host.program("restore", record["point"], "--yes", "--target", str(target))
    assert resumed.returncode == 0, resumed.stderr
    assert "go on with" in resumed.stderr
    restored = target / "docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(host.volumes, restored) == ""
