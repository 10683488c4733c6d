# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore command over a small night: parts, in place, comparing, and other machines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b2_standin.client import StandIn

from .night_host import (
    BUCKET,
    DOWNLOADS,
    TIMEOUT_SECONDS,
    NightHost,
    differences,
    mounted_ssd,
    rclone_binary,
)
from .waits import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

CHECKOUT = Path(__file__).resolve().parents[2]


class RestoreHost(NightHost):
    """A host with two volumes, compose files and system files, and a night of it."""

    def __init__(self, directory: Path, ssd: Path, stand_in: StandIn) -> None:
        self.system = directory / "system"
        self.point = "daily"
        super().__init__(directory, ssd, stand_in)
        self.fill()
        (self.volumes / "web/html").mkdir(parents=True)
        (self.volumes / "web/html/index.html").write_text("hello\n")
        (self.volumes / "web/html/style.css").write_text("body {}\n")
        os.link(self.volumes / "web/html/index.html", self.volumes / "web/copy of index")
        self.system.mkdir()
        (self.system / "cron").write_text("0 2 * * *\n")
        (self.system / "cron").chmod(0o640)

    def config(self) -> dict[str, Any]:
        config = super().config()
        config["sources"].append({"tree": "system-config", "paths": [str(self.system)]})
        return config

    def copy_of(self, path: Path) -> Path:
        """A copy of live data beside the SSD, as it is now."""
        copy = Path(tempfile.mkdtemp(prefix="before-", dir=self.directory))
        subprocess.run(["rsync", "-aHAX", f"{path}/", f"{copy}/"], check=True)
        return copy

    def restored(self, target: Path, path: Path, tree: str = "docker-volumes") -> Path:
        """Where *path* lies in a restored target."""
        return target / tree / path.relative_to("/")

    def must(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the program, which must end with *code*."""
        done = self.program(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def names(self, path: Path) -> list[str]:
        """Names below the mounted SSD that a restore in place leaves beside *path*."""
        return sorted(name for name in os.listdir(path) if "lepotato" in name)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestoreHost]:
    """A host and one night, for tests that change nothing of it."""
    directory = tmp_path_factory.mktemp("restore")
    with StandIn.start(directory / "b2") as stand_in, mounted_ssd(directory) as ssd:
        host = RestoreHost(directory, ssd, stand_in)
        host.point = host.night()["point"]
        yield host


@pytest.fixture
def host(night: RestoreHost) -> Iterator[RestoreHost]:
    """The same host, for tests that change its live data: it is as it was afterwards."""
    live = (night.volumes, night.compose, night.system)
    copies = [(path, night.copy_of(path)) for path in live]
    yield night
    for path, copy in copies:
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsync", "-aHAX", "--delete", f"{copy}/", f"{path}/"], check=True)
        shutil.rmtree(copy)


def test_a_tree_a_volume_a_path_and_a_glob(night: RestoreHost, tmp_path: Path) -> None:
    def part(name: str, *options: str) -> list[str]:
        target = tmp_path / name
        done = night.must("restore", night.point, "--yes", "--target", str(target), *options)
        assert "every checksum right" in done.stdout
        return sorted(str(path.relative_to(target)) for path in target.rglob("*"))

    assert {name.split("/")[0] for name in part("tree", "--tree", "docker-compose")} == {
        "docker-compose"
    }
    names = part("volume", "--volume", "web")
    web = night.restored(tmp_path / "volume", night.volumes / "web")
    assert differences(night.volumes / "web", web) == ""
    assert not [name for name in names if "/db" in name]

    part("one", "--path", str(night.volumes / "web/copy of index"))
    # The other name of the hard link did not come, its content did.
    one = night.restored(tmp_path / "one", night.volumes / "web")
    assert sorted(os.listdir(one)) == ["copy of index"]
    assert (one / "copy of index").read_text() == "hello\n"

    part(
        "glob", "--path", f"{night.volumes}/db/_data/base/00?", "--path", f"{night.volumes}/**.css"
    )
    glob = night.restored(tmp_path / "glob", night.volumes)
    assert sorted(os.listdir(glob / "db/_data/base")) == [f"{number:03d}" for number in range(10)]
    assert os.listdir(glob / "web/html") == ["style.css"]
    assert (glob / "db/_data/base/002").stat().st_uid == 999


def test_what_is_not_there_is_named(night: RestoreHost, tmp_path: Path) -> None:
    def refused(*options: str) -> str:
        done = night.program(
            "restore", night.point, "--yes", "--target", str(tmp_path / "x"), *options
        )
        assert done.returncode == 1
        assert not (tmp_path / "x").exists()
        return done.stderr

    assert "holds no volume wbe. Its volumes are web" in refused("--volume", "wbe")
    assert "holds no tree dokker" in refused("--tree", "dokker")
    assert "holds no path /nothing/*" in refused("--path", "/nothing/*")
    done = night.program("restore", night.point, "--in-place", "--check")
    assert done.returncode == 2


def test_an_interrupted_selection_goes_on_and_another_one_is_refused(
    night: RestoreHost, tmp_path: Path
) -> None:
    target = tmp_path / "part"
    options = ["restore", night.point, "--yes", "--target", str(target), "--volume"]
    with (
        night.held(*DOWNLOADS, skip=10) as is_held,
        subprocess.Popen(
            night.command(*options, "db"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as run,
    ):
        wait_for(is_held, "the download is under way", run)
        assert (target / "docker-volumes").exists()
        run.kill()
    assert "unfinished restore of another part" in night.must(*options, "web", code=1).stderr
    assert "go on with volume db" in night.must(*options, "db").stderr
    data = night.volumes / "db"
    assert differences(data, night.restored(target, data)) == ""
    assert os.listdir(target) == ["docker-volumes"]


def test_check_lists_what_differs_and_changes_nothing(host: RestoreHost) -> None:
    assert "the live data is what" in host.must("restore", host.point, "--check").stdout
    (host.volumes / "web/html/index.html").write_text("HELLO\n")
    (host.volumes / "web/html/style.css").unlink()
    (host.volumes / "db/_data/base/000").chmod(0o600)
    (host.volumes / "new").mkdir()
    (host.system / "cron").unlink()
    before = host.copy_of(host.volumes)
    told = host.must("restore", host.point, "--check", code=3).stdout
    assert f"missing {host.volumes}/web/html/style.css" in told
    assert f"extra {host.volumes}/new" in told
    assert f"changed {host.volumes}/db/_data/base/000 (mode)" in told
    assert f"missing {host.system}/cron" in told
    assert f"changed {host.volumes}/web/html/index.html (mtime, content)" in told
    assert differences(before, host.volumes) == ""
    answer = json.loads(
        host.must("restore", host.point, "--check", "--json", "--volume", "db", code=3).stdout
    )
    assert answer["changed"] == 1
    assert len(answer["differences"]) == 1


def test_in_place_replaces_what_was_asked_for_and_keeps_what_was_there(host: RestoreHost) -> None:
    before = host.copy_of(host.volumes)
    (host.volumes / "web/html/index.html").write_text("broken\n")
    (host.volumes / "web/new").write_text("new\n")
    (host.volumes / "db/_data/base/000").write_text("live\n")
    done = host.must("restore", host.point, "--in-place", "--volume", "web", "--yes")
    assert "in place" in done.stdout
    assert differences(before / "web", host.volumes / "web") == ""
    assert (host.volumes / "db/_data/base/000").read_text() == "live\n"
    aside = host.names(host.volumes)
    assert len(aside) == 1
    assert (host.volumes / aside[0] / "new").read_text() == "new\n"

    # The next night does not take it for data, and the list of points names it.
    host.night()
    staged = host.ssd / "backup-staging/daily/docker-volumes" / str(host.volumes).lstrip("/")
    assert sorted(os.listdir(staged)) == ["db", "web"]
    assert aside[0] in host.must("restore").stdout
    listed = json.loads(host.must("restore", "--replaced", "--json").stdout)
    assert listed[0]["paths"] == [str(host.volumes / aside[0])]
    assert listed[0]["bytes"] >= 4096
    host.must("restore", "--forget-replaced", "all", code=2)
    assert host.names(host.volumes) == aside
    host.must("restore", "--forget-replaced", listed[0]["id"], "--yes")
    assert host.names(host.volumes) == []


def test_in_place_whole_single_files_and_missing_paths(host: RestoreHost) -> None:
    before = host.copy_of(host.volumes)
    shutil.rmtree(host.volumes)
    host.volumes.parent.rmdir()
    (host.compose / "compose.yml").write_text("broken\n")
    (host.system / "cron").write_text("mine\n")
    answer = json.loads(host.must("restore", host.point, "--in-place", "--yes", "--json").stdout)
    assert differences(before, host.volumes) == ""
    assert (host.compose / "compose.yml").read_text() == "services: {}\n"
    # System files only when they are named.
    assert (host.system / "cron").read_text() == "mine\n"
    assert len(answer["aside"]) == 1
    host.must("restore", host.point, "--in-place", "--yes", "--path", str(host.system / "cron"))
    assert (host.system / "cron").read_text() == "0 2 * * *\n"
    assert (host.system / "cron").stat().st_mode & 0o777 == 0o640
    assert not [name for name in os.listdir(host.ssd) if "lepotato" in name]


def test_in_place_over_a_mount_point(host: RestoreHost) -> None:
    """A mount point can't be renamed: what is in it is replaced, name by name."""
    before = host.copy_of(host.volumes)
    shutil.rmtree(host.volumes)
    host.volumes.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", host.volumes], check=True)
    try:
        (host.volumes / "stray").write_text("stray\n")
        host.must("restore", host.point, "--in-place", "--yes", "--tree", "docker-volumes")
        aside = host.names(host.volumes)
        assert len(aside) == 1
        assert aside[0].startswith("stray.lepotato-before-")
        (host.volumes / aside[0]).unlink()
        assert [
            line for line in differences(before, host.volumes).splitlines() if "./" not in line
        ] == []
        assert host.volumes.stat().st_mode == before.stat().st_mode
        (host.volumes / "web/inner").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", host.volumes / "web/inner"], check=True)
        try:
            refused = host.must(
                "restore", host.point, "--in-place", "--yes", "--volume", "web", code=1
            )
            assert "is mounted below it" in refused.stderr
        finally:
            subprocess.run(["umount", host.volumes / "web/inner"], check=True)
    finally:
        subprocess.run(["umount", "--lazy", host.volumes], check=True)


def test_one_file_of_thousands_costs_few_calls_and_damage_stays_out(tmp_path: Path) -> None:
    with StandIn.start(tmp_path / "b2") as stand_in, mounted_ssd(tmp_path) as ssd:
        host = RestoreHost(tmp_path, ssd, stand_in)
        for number in range(1500):
            directory = host.volumes / f"many/{number % 20:02d}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{number}.txt").write_text(f"{number}\n")
        host.night()
        stand_in.link(delay_seconds=0.05)
        stand_in.reset_stats()
        wanted = host.volumes / "many/07/47.txt"
        target = tmp_path / "one"
        host.must("restore", host.point, "--yes", "--target", str(target), "--path", str(wanted))
        assert host.restored(target, wanted).read_text() == "47\n"
        calls = stand_in.stats()
        assert total_calls(calls) <= 40, calls
        stand_in.link()
        _check_damage(host)


def _check_damage(host: RestoreHost) -> None:
    """What is damaged in the bucket never reaches live data."""
    before = host.copy_of(host.volumes / "db")
    sizes = {int(item["contentLength"]): item["fileName"] for item in host.stand_in.files(BUCKET)}
    # crypt adds 48 bytes to a file of this size: this is base/050.
    host.stand_in.damage(BUCKET, sizes[200 + 50 + 48], kind="flip", offset=60)
    done = host.must("restore", host.point, "--in-place", "--yes", "--volume", "db", code=1)
    assert "failed" in done.stderr or "damaged" in done.stderr
    assert differences(before, host.volumes / "db") == ""


def total_calls(stats: dict[str, Any]) -> int:
    """All calls that the stand-in answered."""
    calls: dict[str, int] = stats["calls"]
    return sum(calls.values())


def clean_python() -> str:
    """The oldest supported Python, where there is one."""
    pattern = ".pyenv/versions/3.9.*/bin/python3.9"
    for found in [shutil.which("python3.9"), *map(str, Path.home().glob(pattern))]:
        if found and subprocess.run(["env", "-i", found, "-c", ""], check=False).returncode == 0:
            return found
    return sys.executable


def test_any_machine_with_rclone_and_its_conf(night: RestoreHost, tmp_path: Path) -> None:
    """No Ansible, no installed program, no configuration: a checkout and an rclone.conf."""
    target = tmp_path / "elsewhere"
    program = [f"PYTHON={clean_python()}", str(CHECKOUT / "scripts/lepotato-backup")]
    options = ["restore", night.point, "--yes", "--target", str(target)]
    done = subprocess.run(
        [
            *("env", "-i", "PATH=/usr/bin:/bin", *program, *options),
            *("--rclone-config", str(night.conf_path), "--rclone", rclone_binary()),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert differences(night.volumes, night.restored(target, night.volumes)) == ""

    downloaded = tmp_path / "downloaded"
    seal = json.loads(night.rclone("cat", f"b2-encrypted:points/{night.point}.json"))
    at = f"--b2-version-at={seal['version_at']}"
    night.rclone("copy", "b2-encrypted:", str(downloaded), at)
    done = subprocess.run(
        [
            *("env", "-i", "PATH=/usr/bin:/bin", *program),
            *("restore", "--from-downloaded", str(downloaded)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert differences(night.volumes, night.restored(downloaded / "daily", night.volumes)) == ""
    assert sorted(os.listdir(downloaded / "daily")) == [
        "docker-compose",
        "docker-volumes",
        "system-config",
    ]


def test_sigterm_during_a_download_in_place_changes_nothing(host: RestoreHost) -> None:
    before = host.copy_of(host.volumes)
    command = host.command("restore", host.point, "--in-place", "--yes", "--volume", "db")
    with (
        host.held(*DOWNLOADS, skip=10) as is_held,
        subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run,
    ):
        wait_for(is_held, "the download is under way", run)
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=TIMEOUT_SECONDS) == 1
    stage = host.names(host.volumes)
    assert len(stage) == 1
    assert differences(before / "db", host.volumes / "db") == ""
    host.must("restore", host.point, "--in-place", "--yes", "--volume", "db")
    assert not [name for name in host.names(host.volumes) if name in stage]
