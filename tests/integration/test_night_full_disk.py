# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nights on an SSD that runs full: before they begin, and in the middle of a pass.

Something else than the backup fills the SSD after the checks: a wrapper around rsync does it when
the first real pass begins, and a container when it is stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .container_lab import docker, needed_image
from .night_host import BUCKET, NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

SSD_BYTES = 48 * 1024**2
MIB = 1024**2

# $1: a flag, so that only the first pass does it; $2: the command that fills.
WRAPPER = """#!/bin/sh
case " $* " in
*" --dry-run "*) ;;
*) if [ ! -e {flag} ]; then touch {flag}; ( {fill} ) 2>/dev/null; fi ;;
esac
exec {rsync} "$@"
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NightHost]:
    # Few inodes, so that a test can use them up.
    options = ("-N", "1024")
    with (
        StandIn.start(tmp_path / "b2") as stand_in,
        mounted_ssd(tmp_path, SSD_BYTES, options) as ssd,
    ):
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        yield host


def fill_in_the_first_pass(host: NightHost, monkeypatch: pytest.MonkeyPatch, fill: str) -> None:
    directory = host.directory / "bin"
    directory.mkdir()
    wrapper = directory / "rsync"
    wrapper.write_text(
        WRAPPER.format(flag=directory / "filled", fill=fill, rsync=shutil.which("rsync"))
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def staged_volumes(host: NightHost) -> Path:
    return host.ssd / "backup-staging/daily/docker-volumes" / str(host.volumes).lstrip("/")


def keep_copy(host: NightHost) -> Path:
    """The volumes as they are now."""
    copy = host.directory / "before"
    subprocess.run(["rsync", "-aHAX", f"{host.volumes}/", copy], check=True)
    return copy


def change_everything(host: NightHost) -> None:
    base = host.volumes / "db/_data/base"
    for number in range(60):
        (base / f"{number:03d}").write_bytes(os.urandom(3000))
    for number in range(4):
        (base / f"large-{number}").write_bytes(os.urandom(2 * MIB))
        (base / f"directory-{number}").mkdir()
        (base / f"directory-{number}/file").write_bytes(b"new")


def assert_a_lost_night_lost_nothing(host: NightHost, before: Path) -> None:
    """Staged files are whole, old or new; the last point restores; nothing is left over."""
    staged = staged_volumes(host)
    for path in staged.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(staged)
            versions = [
                one.read_bytes() for one in (before / name, host.volumes / name) if one.is_file()
            ]
            assert path.read_bytes() in versions, name
    assert os.listdir(host.ssd / "backup-staging/.rsync-partial") == []
    target = host.directory / "restored"
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(before, restored) == ""


def assert_the_next_night_is_good(host: NightHost) -> None:
    record = host.night()
    target = host.directory / "after"
    done = host.program("restore", record["point"], "--yes", "--target", str(target))
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / str(host.volumes).lstrip("/")
    assert differences(host.volumes, restored) == ""


@pytest.mark.parametrize(
    ("fill", "what"),
    [
        # All but 3 MiB: the second large file does not fit.
        ("dd if=/dev/zero of={ssd}/filler bs=64k; truncate -s -3M {ssd}/filler", "B and"),
        ("mkdir {ssd}/filler; cd {ssd}/filler; touch $(seq 2000); rm -f 1 2 3 4 5", "inodes"),
    ],
)
def test_an_ssd_that_runs_full_in_a_pass_loses_the_night_and_nothing_else(
    host: NightHost, monkeypatch: pytest.MonkeyPatch, fill: str, what: str
) -> None:
    host.night()
    before = keep_copy(host)
    stored = host.stand_in.files(BUCKET)
    change_everything(host)
    fill_in_the_first_pass(host, monkeypatch, fill.format(ssd=host.ssd))

    done = host.program("run")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert f"The file system that holds {host.ssd}/backup-staging/daily" in done.stderr
    assert what in done.stderr.partition("ran full")[2]
    assert "Traceback" not in done.stderr
    assert host.stand_in.files(BUCKET) == stored
    assert_a_lost_night_lost_nothing(host, before)

    # Nothing is made room for: refused before staging is touched.
    refused = host.program("run")
    assert refused.returncode == 1
    assert "must stay free" in refused.stderr or "can't be written: No space" in refused.stderr

    filler = host.ssd / "filler"
    shutil.rmtree(filler) if filler.is_dir() else filler.unlink()
    assert_the_next_night_is_good(host)


def test_a_container_that_fills_the_ssd_when_it_stops_is_started_again(host: NightHost) -> None:
    image = needed_image()
    socket = host.config()["containers"].get("socket", "/var/run/docker.sock")
    host.write_config(containers={"enabled": True, "socket": socket, "stop_timeout_seconds": 20})
    host.night()
    before = keep_copy(host)
    name = f"lpb-full-{uuid.uuid4().hex[:8]}"
    # What it writes fits; its copy does not.
    write = "dd if=/dev/urandom of=/data/last bs=1M count=24"
    command = f'trap "{write}; exit 0" TERM; while :; do sleep 0.05; done'
    mount = f"{host.volumes}/db/_data:/data"
    docker(
        *("run", "-d", "--name", name, "--network", "none", "-v", mount, image, "sh", "-c", command)
    )
    try:
        done = host.program("run")
        assert done.returncode == 1
        assert f"{host.volumes}/db/_data/last".lstrip("/") in done.stderr
        assert "ran full" in done.stderr
        assert docker("inspect", "-f", "{{.State.Running}}", name) == "true"
        assert_a_lost_night_lost_nothing(host, before)
    finally:
        docker("rm", "-f", name)
    (host.volumes / "db/_data/last").unlink()
    assert_the_next_night_is_good(host)


def test_what_a_power_cut_left_of_a_pass_is_given_back_before_room_is_looked_for(
    host: NightHost,
) -> None:
    host.night()
    partial = host.ssd / "backup-staging/.rsync-partial"
    (host.volumes / "db/_data/large").write_bytes(os.urandom(10 * MIB))
    leftover = partial / ".large.Xa12bc"
    subprocess.run(["dd", "if=/dev/zero", f"of={leftover}", "bs=1M"], check=False)
    assert leftover.stat().st_size > 20 * MIB
    assert_the_next_night_is_good(host)


def test_too_few_inodes_stop_the_night_before_staging_changes(host: NightHost) -> None:
    host.night()
    before = sorted((host.ssd / "backup-staging").rglob("*"))
    for number in range(500):
        (host.volumes / f"db/_data/{number}").touch()
    done = host.program("run")
    assert done.returncode == 1
    assert "inodes and 0 must stay free" in done.stderr
    assert sorted((host.ssd / "backup-staging").rglob("*")) == before


def test_staging_keeps_to_its_maximum_with_what_snapshots_hold(host: NightHost) -> None:
    large = host.volumes / "db/_data/large"
    large.write_bytes(os.urandom(4 * MIB))
    host.night()
    guards = {**host.config()["guards"], "staging_maximum_bytes": 7 * MIB}
    host.write_config(guards=guards)
    # Replaced: the old one goes when the new one comes.
    large.write_bytes(os.urandom(4 * MIB))
    host.night()
    # Kept by a snapshot: both stay.
    weekly = host.ssd / "backup-staging/weekly"
    weekly.mkdir()
    daily = host.ssd / "backup-staging/daily"
    subprocess.run(["cp", "-al", daily, weekly / "backup-2026-11-15"], check=True)
    host.night()
    large.write_bytes(os.urandom(4 * MIB))
    before = sorted(str(path) for path in daily.rglob("*"))
    done = host.program("run")
    assert done.returncode == 1
    assert "its maximum is 7.3 MB (agent_staging_maximum_bytes)" in done.stderr
    assert sorted(str(path) for path in daily.rglob("*")) == before
    shutil.rmtree(weekly)
    host.night()
