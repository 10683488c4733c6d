# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import (
    RunLog,
    file_handler,
    syslog_handler,
)


def test_a_log_that_is_rotated_in_mid_run_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "backup-to-b2.log"
    log = RunLog("20261122T020000Z", [file_handler(str(path))])
    for number in range(100):
        if number == 50:
            # What logrotate does: rename, then make a new file under the old name.
            os.rename(path, tmp_path / "backup-to-b2.log.1")
            path.touch(mode=0o640)
        log.info(f"line {number}")
    log.close()
    old = (tmp_path / "backup-to-b2.log.1").read_text(encoding="utf-8").splitlines()
    new = path.read_text(encoding="utf-8").splitlines()
    assert [line.rsplit(" ", 1)[1] for line in old + new] == [str(n) for n in range(100)]
    assert len(new) == 50


def test_lines_carry_time_level_and_run_and_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = RunLog("ID", [file_handler(str(path))])
    log.warning("name with \udcff in it")
    log.close()
    line = path.read_text(encoding="utf-8")
    assert line.rstrip().endswith(r"WARNING [ID] name with \udcff in it")
    assert (line[10], line[19]) == ("T", "Z")
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert log.warnings == ["name with \udcff in it"]


def test_without_a_syslog_daemon_there_is_no_handler(tmp_path: Path) -> None:
    assert syslog_handler(str(tmp_path / "no-socket")) is None


def test_a_log_on_a_full_disk_is_told_once_and_ends_no_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = RunLog("ID", [file_handler("/dev/full")])
    log.info("one")
    log.warning("two")
    log.close()
    said = capsys.readouterr().err
    assert said.startswith("the log /dev/full can't be written: ")
    assert "No space left on device" in said
    assert said.count("\n") == 1
