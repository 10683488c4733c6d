# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are damaged where they are stored: the rest comes back whole and is finished."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b2_standin.client import StandIn

from .night_host import BUCKET, NightHost, differences, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

VICTIM_BYTES = 5000
# crypt adds a header and a tag for a block.
STORED_BYTES = VICTIM_BYTES + 48


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[NightHost]:
    with mounted_ssd(tmp_path) as ssd, StandIn.start() as stand_in:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        victim(host).write_bytes(os.urandom(VICTIM_BYTES))
        yield host


def victim(host: NightHost) -> Path:
    """The live file whose object gets damaged."""
    return host.volumes / "db/_data/victim"


def stored(host: NightHost, size_bytes: int = STORED_BYTES) -> str:
    """The name in the bucket of the one object of that size, in its newest version."""
    found = {
        item["fileName"]
        for item in host.stand_in.files(BUCKET)
        if int(item["contentLength"]) == size_bytes
    }
    assert len(found) == 1
    return str(found.pop())


def object_at(host: NightHost, path: str) -> str:
    """The name in the bucket of *path* below the crypt remote."""
    told = host.rclone("cryptdecode", "--reverse", "b2-encrypted:", path)
    return f"potato/{told.partition(chr(9))[2].strip()}"


def second_night(host: NightHost) -> dict[str, Any]:
    """A night in which only the victim changed."""
    time.sleep(1.1)
    victim(host).write_bytes(os.urandom(VICTIM_BYTES))
    return host.night()


def good_part(host: NightHost, tmp_path: Path) -> Path:
    """The live volumes without the victim, its directory's time kept."""
    copy = tmp_path / "expected"
    subprocess.run(["rsync", "-aHAX", f"{host.volumes}/", f"{copy}/"], check=True)
    data = copy / "db/_data"
    times = data.stat()
    (data / "victim").unlink()
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    return copy


@pytest.mark.parametrize("kind", ["flip", "truncate", "delete", "vanish"])
def test_one_damaged_object_costs_that_file_alone(
    host: NightHost, tmp_path: Path, kind: str
) -> None:
    first = host.night()
    second_night(host)
    host.stand_in.damage(BUCKET, stored(host), kind=kind, offset=100)
    target = tmp_path / "out"
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 1, done.stderr
    assert "1 of " in done.stderr
    assert "db/_data/victim" in done.stderr
    assert f"whole in {first['id']}" in done.stderr
    assert "password" not in done.stderr
    restored = target / "docker-volumes" / host.volumes.relative_to("/")
    if (restored / "db/_data/victim").exists():
        (restored / "db/_data/victim").unlink()
        data = (host.volumes / "db/_data").stat()
        os.utime(restored / "db/_data", ns=(data.st_atime_ns, data.st_mtime_ns))
    assert differences(good_part(host, tmp_path), restored) == ""
    # What the last attempt left for another try is not in anybody's way.
    assert not (target / ".carrier").exists()


def test_accepted_damage_lets_the_rest_go_in_place(host: NightHost, tmp_path: Path) -> None:
    host.night()
    host.stand_in.damage(BUCKET, stored(host), kind="flip", offset=100)
    expected = good_part(host, tmp_path)
    shutil.rmtree(host.volumes / "db/_data/base")
    before = sorted(os.listdir(host.volumes / "db/_data"))
    command = ("restore", "daily", "--in-place", "--yes", "--volume", "db")
    refused = host.program(*command)
    assert refused.returncode == 1
    assert sorted(os.listdir(host.volumes / "db/_data")) == before
    done = host.program(*command, "--accept-damaged")
    assert done.returncode == 3, done.stderr
    assert "without 1 damaged entries" in done.stdout
    assert "not restored: docker-volumes" in done.stderr
    (host.volumes / "db/_data/victim").unlink(missing_ok=True)
    assert (host.volumes / "db/_data/base/002").stat().st_uid == 999
    for path in (expected / "db/_data/base").iterdir():
        assert path.read_bytes() == (host.volumes / "db/_data/base" / path.name).read_bytes()


@pytest.mark.parametrize("what", ["points/{}.json", "manifests/{}.jsonl.gz"])
@pytest.mark.parametrize("kind", ["flip", "vanish"])
def test_a_damaged_seal_or_manifest_leads_to_the_night_before(
    host: NightHost, tmp_path: Path, what: str, kind: str
) -> None:
    first = host.night()
    live = tmp_path / "first night"
    subprocess.run(["rsync", "-aHAX", f"{host.volumes}/", f"{live}/"], check=True)
    second = second_night(host)
    if what.startswith("points") and kind == "vanish":
        pytest.skip("a seal that vanished was never heard of: the night before it is the newest")
    host.stand_in.damage(BUCKET, object_at(host, what.format(second["id"])), kind, 40)
    named = host.program("restore", second["id"], "--yes", "--target", str(tmp_path / "named"))
    assert named.returncode == 1
    assert f"the point {second['id']} is damaged" in named.stderr
    assert f"The night before it is {first['id']}" in named.stderr
    assert "lepotato_backup_password" not in named.stderr
    target = tmp_path / "out"
    done = host.program("restore", "daily", "--yes", "--target", str(target))
    assert done.returncode == 3, done.stderr
    assert f"the point {second['id']} is damaged" in done.stderr
    assert f"restored {first['id']}" in done.stdout
    restored = target / "docker-volumes" / host.volumes.relative_to("/")
    assert differences(live, restored) == ""


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("cap_exceeded", "download_cap_exceeded", "Caps & Alerts"),
        ("unauthorized", "", "lepotato_backup_b2_key_id"),
    ],
)
def test_what_concerns_all_files_is_told_as_what_it_is(
    host: NightHost, tmp_path: Path, fault: str, code: str, words: str
) -> None:
    host.night()
    more = {"code": code} if code else {}
    host.stand_in.fault(fault, "b2_download_file_by_name", count=0, **more)
    for command in (("restore", "daily", "--yes", "--target", str(tmp_path / "out")),):
        done = host.program(*command)
        assert done.returncode == 1
        assert words in done.stderr
        assert "damaged" not in done.stderr
