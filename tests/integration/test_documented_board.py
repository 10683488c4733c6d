# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents' command lines for the board, typed there: the scripts as the role makes them."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from b2_standin.client import StandIn

from .document_host import DocumentHost
from .night_host import mounted_ssd
from .second_place import UsbDisk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

Check = Callable[[DocumentHost, str], None]


def points(host: DocumentHost) -> list[str]:
    listed = json.loads(host.program("snapshots", "--json").stdout)
    return [one["id"] for one in listed if (one["kind"], one["destination"]) == ("daily", "b2")]


def night(host: DocumentHost, line: str) -> None:
    """The line is a night that seals a point."""
    before = points(host)
    # A point is named after the second its night began in.
    time.sleep(1.1)
    host.type(line)
    assert len(points(host)) == len(before) + 1


def dry(host: DocumentHost, line: str) -> None:
    before = points(host)
    host.type(line)
    assert points(host) == before


def told(*words: str) -> Check:
    """The line changes nothing and says *words*, and which point there is."""

    def check(host: DocumentHost, line: str) -> None:
        said = host.type(line)
        for word in words or (points(host)[-1],):
            assert word in said

    return check


def compared(host: DocumentHost, line: str) -> None:
    host.type(line)
    database = host.volumes / "grafana_data/grafana.db"
    database.write_text("broken\n")
    try:
        assert f"changed {database}" in host.type(line, 3)
        assert database.read_text() == "broken\n"
    finally:
        host.type("restore-from-b2.sh daily --in-place --volume grafana_data")


def in_place(host: DocumentHost, line: str) -> None:
    database = host.volumes / "grafana_data/grafana.db"
    database.write_text("broken\n")
    host.type(line)
    assert database.read_text() == "dashboards\n"
    host.type("restore-from-b2.sh --forget-replaced all")


def one_file(host: DocumentHost, line: str) -> None:
    target = host.directory / "one"
    shutil.rmtree(target, ignore_errors=True)
    host.type(line)
    restored = target / f"docker-compose{host.compose}/home/compose.yml"
    assert restored.read_text() == (host.compose / "home/compose.yml").read_text()


def whole(host: DocumentHost, line: str) -> None:
    host.forget_target()
    host.type(line)
    assert host.lost(host.ssd / "restored") == ""


def other_disks(host: DocumentHost, line: str) -> None:
    recorded = host.state / "disks.json"
    other = re.sub(r'"(uuid|fsid)":\s*"[^"]*"', r'"\1": "0000"', recorded.read_text())
    recorded.write_text(other)
    assert "--accept-disks" in host.type("backup-to-b2.sh", 1)
    night(host, line)
    night(host, "backup-to-b2.sh")


def other_writer(host: DocumentHost, line: str) -> None:
    host.seal_of_another_board()
    assert "--accept-writer" in host.type("backup-to-b2.sh", 1)
    # What it sealed is named in a warning.
    host.type(line, 3)
    night(host, "backup-to-b2.sh")


def shrunk(host: DocumentHost, line: str) -> None:
    kept = host.directory / "kept"
    shutil.move(host.volumes / "db", kept)
    try:
        assert "--accept-shrink" in host.type("backup-to-b2.sh", 1)
        night(host, line)
    finally:
        shutil.move(kept, host.volumes / "db")
    night(host, "backup-to-b2.sh")


BOARD_LINES: dict[str, Check] = {
    "/opt/backup/scripts/backup-to-b2.sh --dry-run": dry,
    "/opt/backup/scripts/backup-to-b2.sh": night,
    "lepotato-backup status": told("stored", "asked B2"),
    "restore-from-b2.sh": told(),
    "restore-from-b2.sh daily --check --volume grafana_data": compared,
    "restore-from-b2.sh daily --in-place --volume grafana_data": in_place,
    "restore-from-b2.sh daily --path /opt/docker-compose/home/compose.yml --target /tmp/one":
    one_file,
    "restore-from-b2.sh 2026-11-20T02:00Z --target /mnt/ssd/restored": whole,
    "restore-from-b2.sh weekly 2026-11-15 --tree docker-volumes --target /mnt/ssd/restored": whole,
    "backup-to-b2.sh --accept-disks": other_disks,
    "/opt/backup/scripts/backup-to-b2.sh --accept-disks": other_disks,
    "backup-to-b2.sh --accept-writer": other_writer,
    "backup-to-b2.sh --accept-shrink": shrunk,
    "lepotato-backup run [--dry-run] [--accept-shrink] [--accept-disks] [--accept-writer]": dry,
    "lepotato-backup restore [daily|weekly|TIME] [DATE]": told(),
    "restore-from-b2.sh [daily|weekly|TIMESTAMP] [DATE]": told(),
    "lepotato-backup snapshots": told(),
    "lepotato-backup prune [--dry-run]": told("stays"),
    "lepotato-backup verify": told(),
    "lepotato-backup recover": dry,
    "lepotato-backup check-config [FILE]": told("config.json"),
    "restore-from-b2.sh --from second daily --volume grafana_data --in-place": in_place,
    "lepotato-backup snapshots --from second": told(),
    "lepotato-backup verify --from second": told(),
}  # fmt: skip


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentHost]:
    directory = tmp_path_factory.mktemp("board")
    usb = UsbDisk(directory)
    with (
        StandIn.start(directory / "b2") as stand_in,
        mounted_ssd(directory) as ssd,
        usb.plugged_in(),
    ):
        host = DocumentHost(directory, ssd, stand_in, usb)
        host.night()
        yield host


@pytest.mark.parametrize("line", list(BOARD_LINES))
def test_it_does_what_the_document_says(board: DocumentHost, line: str) -> None:
    BOARD_LINES[line](board, line)
