# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of real databases: they are complete, and they come back."""

from __future__ import annotations

import gzip
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Dict, Iterator

import pytest
from integration.container_lab import Lab, docker, failure, needed_image, night
from integration.waits import wait_for

from tools.docker import client

PSQL = ("psql", "-h", "/run/postgresql", "-U", "postgres", "-Atq")


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab", needed_image()) as lab:
        yield lab


def sql(lab: Lab, statement: str, database: str = "postgres") -> str:
    return docker("exec", lab.name("pg"), *PSQL, "-d", database, "-c", statement)


def start_postgres(lab: Lab) -> None:
    lab.run("pg", "--health-cmd=pg_isready -h /run/postgresql", command="exec lpb-postgres")
    ready = ("exec", lab.name("pg"), *PSQL, "-c", "select 1")
    wait_for(lambda: docker(*ready, check=False) == "1", "PostgreSQL answers")


def test_postgres_dumps_come_back_and_the_database_is_never_stopped(lab: Lab) -> None:
    start_postgres(lab)
    sql(lab, "create role reader")
    sql(lab, "create database shop")
    sql(lab, "create table item as select n, md5(n::text) from generate_series(1, 5000) n", "shop")
    began = lab.inspect("pg")["State"]["StartedAt"]
    name = lab.name("pg")
    config = lab.config(
        never_stop=[name],
        dumps=[
            {"container": name, "kind": "postgres"},
            {"container": name, "kind": "postgres", "database": "shop"},
        ],
    )

    result = night(lab, config=config)["capture"]

    assert result["groups"] == []
    assert result["warnings"] == []
    assert lab.inspect("pg")["State"]["StartedAt"] == began
    dumps = lab.daily / "dumps" / name
    assert {path.name for path in dumps.iterdir()} == {"all.sql.gz", "shop.pgdump"}
    everything = gzip.decompress((dumps / "all.sql.gz").read_bytes()).decode()
    assert "CREATE ROLE reader" in everything
    # The archive restores into another database, rows and all.
    sql(lab, "create database again")
    subprocess.run(
        [client(), "exec", "-i", name, "pg_restore", "-h", "/run/postgresql", "-U", "postgres"]
        + ["-d", "again"],
        input=(dumps / "shop.pgdump").read_bytes(),
        check=True,
    )
    count_and_sum = "select count(*), md5(string_agg(md5, '' order by n)) from item"
    assert sql(lab, count_and_sum, "again") == sql(lab, count_and_sum, "shop")

    # A dump that is not asked for any more goes, so that it can't pass for tonight's.
    config = lab.config(never_stop=[name], dumps=[{"container": name, "kind": "postgres"}])
    night(lab, config=config)
    assert {path.name for path in dumps.iterdir()} == {"all.sql.gz"}


def test_a_wrong_database_name_fails_the_night_by_name(lab: Lab) -> None:
    start_postgres(lab)
    dump = {"container": lab.name("pg"), "kind": "postgres", "database": "nope"}
    done = lab.drive("--capture", config=lab.config(dumps=[dump]))
    assert done.returncode == 1
    error = failure(done)
    assert f"the postgres dump of container {lab.name('pg')} failed" in error
    assert 'database "nope" does not exist' in error
    assert lab.states() == {"pg": "running"}


def test_an_archive_that_breaks_off_is_noticed(lab: Lab) -> None:
    """pg_restore --list reads the table of contents only: the check reads all of the archive."""
    start_postgres(lab)
    sql(lab, "create table item as select n, md5(n::text) from generate_series(1, 50000) n")
    # A pg_dump in front of the real one that loses the end and says that all went well.
    docker(
        *("exec", lab.name("pg"), "sh", "-c"),
        'real=$(command -v pg_dump); printf \'#!/bin/sh\\n%s "$@" | head -c 200000\\n\' "$real" '
        "> /usr/local/bin/pg_dump; chmod +x /usr/local/bin/pg_dump",
    )
    dump = {"container": lab.name("pg"), "kind": "postgres", "database": "postgres"}
    done = lab.drive("--capture", config=lab.config(dumps=[dump]))
    assert done.returncode == 1, done.stderr
    assert "end of file" in failure(done)
    assert not (lab.daily / "dumps" / lab.name("pg")).exists()


def test_mariadb_dumps_come_back_and_a_wrong_password_fails_the_night(lab: Lab) -> None:
    name = lab.name("db")
    lab.run("db", "-e", "MARIADB_ROOT_PASSWORD=open sesame", command="exec lpb-mariadb")

    def maria(statement: str, *options: str, check: bool = True) -> str:
        login = ("-e", "MYSQL_PWD=open sesame", name, "mariadb", "--user=root", "--batch")
        return docker("exec", *login, "--skip-column-names", *options, "-e", statement, check=check)

    wait_for(lambda: maria("select 1", check=False) == "1", "MariaDB answers")
    maria("create database shop; create table shop.item (n int primary key, name text)")
    maria("use shop; insert into item select seq, md5(seq) from seq_1_to_5000")
    dump = {"container": name, "kind": "mysql"}
    config = lab.config(never_stop=[name], dumps=[dump, {**dump, "database": "shop"}])

    night(lab, config=config)

    dumps = lab.daily / "dumps" / name
    assert {path.name for path in dumps.iterdir()} == {"all.sql.gz", "shop.sql.gz"}
    checksum = maria("checksum table shop.item")
    maria("drop database shop")
    restored = gzip.decompress((dumps / "shop.sql.gz").read_bytes())
    subprocess.run(
        [client(), "exec", "-i", "-e", "MYSQL_PWD=open sesame", name, "mariadb", "--user=root"],
        input=restored,
        check=True,
    )
    assert maria("checksum table shop.item") == checksum

    maria("alter user root@localhost identified by 'changed'")
    before = (dumps / "shop.sql.gz").read_bytes()
    error = failure(lab.drive("--capture", config=config))
    assert f"the mysql dump of container {name} failed" in error
    assert "open sesame" not in error
    assert (dumps / "shop.sql.gz").read_bytes() == before


def test_a_sqlite_dump_is_taken_from_a_writer_in_wal_mode(lab: Lab) -> None:
    lab.run("writer", command="exec lpb-sqlite-writer")
    live = lab.volumes / "writer/app.db"

    def rows() -> int:
        if not live.exists():
            return 0
        with sqlite3.connect(f"file:{live}?mode=ro", uri=True) as database:
            tables = database.execute("select count(*) from sqlite_master").fetchone()[0]
            found: int = (
                database.execute("select count(*) from reading").fetchone()[0] if tables else 0
            )
            return found

    wait_for(lambda: rows() > 2, "rows are written")
    dump: Dict[str, object] = {
        "container": lab.name("writer"),
        "kind": "sqlite",
        "path": "/data/app.db",
    }
    before = rows()
    night(lab, config=lab.config(never_stop=[lab.name("writer")], dumps=[dump]))
    staged = lab.daily / "dumps" / lab.name("writer") / "data_app.db"
    with sqlite3.connect(staged) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        assert copy.execute("select count(*) from reading").fetchone()[0] >= before
    assert not staged.with_name("data_app.db-wal").exists()
    first = live.stat().st_uid
    assert {path.stat().st_uid for path in live.parent.iterdir()} == {first}
    wait_for(lambda: rows() > before, "the writer still writes")

    dump["path"] = "/etc/hostname"
    done = lab.drive("--capture", config=lab.config(dumps=[dump]))
    assert "/etc/hostname is on no volume or bind mount" in failure(done)


def test_a_damaged_sqlite_database_fails_the_night(lab: Lab) -> None:
    lab.run("app")
    path = lab.volumes / "app/app.db"
    with sqlite3.connect(path) as database:
        database.execute("create table t (x text)")
        database.executemany("insert into t values (?)", [("y" * 500,)] * 2000)
    raw = bytearray(path.read_bytes())
    raw[8192:8300] = b"\xff" * 108
    path.write_bytes(bytes(raw))
    dump = {"container": lab.name("app"), "kind": "sqlite", "path": "/data/app.db"}
    done = lab.drive("--capture", config=lab.config(dumps=[dump]))
    assert done.returncode == 1
    error = failure(done)
    # Whether the check answers or gives up depends on where the damage is.
    assert re.search(r"sqlite dump of container \S+ failed: .*(is damaged|malformed)", error)
    assert lab.states() == {"app": "running"}
