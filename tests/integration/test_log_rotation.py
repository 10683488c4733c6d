# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log, rotated in mid-run by the real logrotate with the file that the role renders."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import jinja2
import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.process.logs import (
    RunLog,
    file_handler,
)

from .container_lab import CHECKOUT

LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
TEMPLATE = CHECKOUT / "roles/schedule/templates/logrotate.j2"
ROTATIONS = 17
DAYS_KEPT = 14

pytestmark = [
    pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the log belongs to root"),
]


def lines_of(path: Path) -> list[int]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [int(line.rsplit(b" ", 1)[1]) for line in text.splitlines()]


def test_a_log_rotated_in_mid_run_loses_no_line(tmp_path: Path) -> None:
    # logrotate refuses a directory that others may write to.
    tmp_path.chmod(0o755)
    path, configuration = tmp_path / "logs/backup-to-b2.log", tmp_path / "logrotate.conf"
    path.parent.mkdir(mode=0o755)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True)
    configuration.write_text(
        template.render(schedule__log_path=path, schedule_log_days_kept=DAYS_KEPT)
    )
    log = RunLog("20261122T020000Z", [file_handler(str(path))])
    written = 0
    problems: list[str] = []

    def rotate() -> None:
        for _day in range(ROTATIONS):
            # The run makes its log anew, and logrotate passes over an empty one.
            while not path.exists() or path.stat().st_size == 0:
                time.sleep(0.001)
            options = ["--force", "--state", str(tmp_path / "state")]
            command = [str(LOGROTATE), *options, str(configuration)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            problems.append(done.stderr if done.returncode else "")

    rotating = threading.Thread(target=rotate)
    rotating.start()
    while rotating.is_alive():
        log.info(f"line {written}")
        written += 1
        # A night is no busy loop; it does write between any two steps of logrotate.
        time.sleep(0.001)
    rotating.join()
    log.info(f"line {written}")
    log.close()

    assert set(problems) == {""}
    names = sorted(os.listdir(path.parent))
    # Fourteen old ones, of which the newest is not compressed yet.
    numbers = [f".{number}.gz" for number in range(2, DAYS_KEPT + 1)]
    assert names == sorted(path.name + suffix for suffix in ["", ".1", *numbers])
    kept = sorted(number for name in names for number in lines_of(path.with_name(name)))
    # What is gone is the oldest, rotated out: no line in between.
    assert kept == list(range(kept[0], written + 1))
    assert {path.with_name(name).stat().st_mode & 0o777 for name in names} == {0o640}
