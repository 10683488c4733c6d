# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import LockHeld
from ansible_collections.lepotato.backup.plugins.module_utils.process.run_lock import RunLock


def test_a_second_run_is_refused_and_names_the_first(tmp_path: Path) -> None:
    path = str(tmp_path / "run.lock")
    holder = f"process {os.getpid()}"
    with RunLock(path), pytest.raises(LockHeld, match=holder) as caught, RunLock(path):
        raise AssertionError("the lock was given twice")
    assert caught.value.exit_code == 75
    with RunLock(path):
        pass


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    path = str(tmp_path / "run.lock")
    program = (
        f"import os\nfrom {RunLock.__module__} import RunLock\n"
        f"with RunLock({path!r}):\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with RunLock(path):
        pass


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "run.lock")
    first = RunLock(path)
    first.__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with RunLock(path, wait_seconds=60):
        pass
