# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nights write to the SSD, counted by the kernel on a disk image of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .disk_writes import MKFS_OPTIONS, a_day_passes, bytes_written
from .night_host import NightHost, mounted_ssd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

FILES = 400
FILES_PER_DIRECTORY = 10
LARGE_BYTES = 24 * 1024**2
# Measured: 0.2 MB for the log, the probe and 50 directories' access times, each with its share of
# the journal. Any file that is staged anew, or a state that lies on the SSD, is beyond this.
UNCHANGED_BYTES_MAX = 1024**2
# One directory entry and one inode a file, both in the journal first: measured 2 KB a file.
SNAPSHOT_BYTES_PER_FILE_MAX = 8 * 1024


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NightHost]:
    with (
        StandIn.start(tmp_path / "b2") as stand_in,
        mounted_ssd(tmp_path, mkfs_options=MKFS_OPTIONS) as ssd,
    ):
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        for number in range(FILES):
            directory = host.volumes / "many" / str(number // FILES_PER_DIRECTORY)
            directory.mkdir(parents=True, exist_ok=True)
            (directory / str(number)).write_bytes(os.urandom(2000))
        (host.volumes / "large").write_bytes(os.urandom(LARGE_BYTES))
        yield host


def night_writes(host: NightHost) -> int:
    """The bytes that a night writes to the SSD."""
    a_day_passes(host.volumes, host.ssd / "backup-staging")
    time.sleep(1.1)
    before = bytes_written(host.ssd)
    host.night()
    return bytes_written(host.ssd) - before


def test_only_what_changed_reaches_the_ssd_and_is_there_once(host: NightHost) -> None:
    # Staged once, and not once more as a list, a copy or an encrypted file.
    assert LARGE_BYTES < night_writes(host) < 1.5 * LARGE_BYTES
    assert night_writes(host) < UNCHANGED_BYTES_MAX

    (host.volumes / "many/0/0").write_bytes(os.urandom(3000))
    assert night_writes(host) < UNCHANGED_BYTES_MAX

    today = datetime.now(timezone.utc).astimezone().date()
    host.write_config(weekly={"weekday": str(today.weekday())})
    entries = FILES + 100
    assert night_writes(host) < UNCHANGED_BYTES_MAX + entries * SNAPSHOT_BYTES_PER_FILE_MAX
    daily = host.ssd / "backup-staging/daily"
    weekly = host.ssd / f"backup-staging/weekly/backup-{today.isoformat()}"
    kept = [path for path in weekly.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(kept) > FILES
    for path in kept:
        assert path.samefile(daily / path.relative_to(weekly)), path
