# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile tree and real databases through a whole night and back: nothing differs.

Everything travels through rclone, crypt and the B2 stand-in, a sparse file of 2 GB included.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .container_lab import docker, needed_image
from .manifest_trees import (
    GIB,
    MIB,
    attribute_dumps,
    make_hostile_tree,
    needs_root,
    needs_tools,
    tree_differences,
)
from .night_host import NightHost, differences, mounted_ssd

pytestmark = [needs_root, needs_tools]

# rclone makes no more than 100 calls a second to B2: this many take 200 s each way.
SMALL_FILES = 20_000
TIMEOUT_SECONDS = 1800
ROWS = 5000
PG_BIN = "$(echo /usr/lib/postgresql/*/bin)"
AS_POSTGRES = "setpriv --reuid=postgres --regid=postgres --init-groups"
COUNT = f'{PG_BIN}/psql -h /tmp -U postgres -Atqc "select count(*), sum(id) from item"'


def postgres(data: Path, script: str, image: str) -> str:
    """Run *script* beside a PostgreSQL server on *data*, which is shut down cleanly after it."""
    start = f"{AS_POSTGRES} {PG_BIN}/pg_ctl -D /data -w -l /tmp/log -o '-k /tmp' start >/dev/null"
    stop = f"{AS_POSTGRES} {PG_BIN}/pg_ctl -D /data -w -m fast stop >/dev/null"
    make = (
        "[ -e /data/PG_VERSION ] || { chown postgres: /data && chmod 700 /data && "
        f"{AS_POSTGRES} {PG_BIN}/initdb -D /data --data-checksums -A trust --no-sync >/dev/null; }}"
    )
    return docker(
        *("run", "--rm", "--network", "none", "--name", f"lpb-hostile-{uuid.uuid4().hex[:8]}"),
        *("-v", f"{data}:/data", image, "sh", "-ec", f"{make}; {start}; {script}; {stop}"),
    )


def fill(host: NightHost, image: str) -> sqlite3.Connection:
    """Make the volumes; the SQLite database stays open, so that its WAL holds rows."""
    (host.compose / "compose.yml").write_text("services: {}\n")
    hostile = host.volumes / "hostile"
    hostile.mkdir()
    make_hostile_tree(hostile, small_files=SMALL_FILES, sparse_bytes=2 * GIB)
    (host.volumes / "pg").mkdir()
    rows = f"create table item as select n as id from generate_series(1, {ROWS}) n"
    index = "create index on item (id); create extension amcheck"
    postgres(host.volumes / "pg", f'{PG_BIN}/psql -h /tmp -U postgres -qc "{rows}; {index}"', image)
    (host.volumes / "app").mkdir()
    database = sqlite3.connect(host.volumes / "app/app.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY)")
    database.executemany("INSERT INTO reading VALUES (?)", ((n,) for n in range(1000)))
    database.commit()
    git(host.volumes, "init", "-q", "repository")
    for number in range(3):
        (host.volumes / f"repository/file{number}").write_text(f"{number}\n")
        git(host.volumes / "repository", "add", ".")
        git(host.volumes / "repository", "commit", "-q", "-m", f"{number}")
    os.link(host.volumes / "repository/file0", host.volumes / "app/link across volumes")
    return database


def git(directory: Path, *argv: str) -> str:
    """Run git as a person without a configuration."""
    who = ("-c", "user.name=Potato", "-c", "user.email=potato@example.com")
    trust = ("-c", "safe.directory=*")
    return subprocess.run(
        ["git", *who, *trust, *argv], cwd=directory, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NightHost]:
    with StandIn.start(tmp_path / "b2") as stand_in, mounted_ssd(tmp_path, 6 * GIB) as ssd:
        yield NightHost(tmp_path, ssd, stand_in)
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_everything_comes_back_through_a_whole_night(host: NightHost) -> None:
    image = needed_image()
    database = fill(host, image)
    try:
        host.night(timeout=TIMEOUT_SECONDS)
    finally:
        database.close()
    staged = host.ssd / "backup-staging/daily/docker-volumes" / str(host.volumes).lstrip("/")
    target = host.ssd / "restored"
    done = host.program(
        "restore", "daily", "--yes", "--target", str(target), timeout=TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    restored = target / "docker-volumes" / str(host.volumes).lstrip("/")

    assert tree_differences(host.volumes / "hostile", restored / "hostile") == []
    assert attribute_dumps(host.volumes / "hostile") == attribute_dumps(restored / "hostile")
    for name in ("pg", "repository"):
        assert differences(host.volumes / name, restored / name) == ""
    # SQLite wrote its log back when it was closed: what was staged is what counts.
    assert differences(staged / "app", restored / "app") == ""
    sparse = (restored / "hostile/tree/kinds/sparse").stat()
    assert (sparse.st_size, sparse.st_blocks * 512 < MIB) == (2 * GIB, True)
    assert (restored / "app/link across volumes").samefile(restored / "repository/file0")

    check = f"{PG_BIN}/pg_amcheck -h /tmp -U postgres --heapallindexed -d postgres"
    assert postgres(restored / "pg", f"{COUNT}; {check}", image) == f"{ROWS}|{ROWS * 5001 // 2}"
    assert docker(
        *("run", "--rm", "--network", "none", "-v", f"{restored}/pg:/data", image, "sh", "-ec"),
        f"{AS_POSTGRES} {PG_BIN}/pg_checksums --check -D /data",
    ).endswith("Data checksum version: 1")
    assert (restored / "app/app.db-wal").stat().st_size > 0
    with sqlite3.connect(restored / "app/app.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM reading").fetchone() == (1000,)
    assert "error" not in git(restored / "repository", "fsck", "--full", "--strict")
    assert git(restored / "repository", "rev-list", "--count", "HEAD").strip() == "3"
