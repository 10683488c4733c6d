# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog ends what gets nowhere and lets everything else be."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import List

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.watchdog import StallWatch

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
READER = """
import os, time
print("ready", flush=True)
with open("/dev/zero", "rb", buffering=0) as stream:
    for _ in range(40):
        for _ in range(8):
            stream.read(1024**2)
        time.sleep(0.05)
"""


def start(program: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def watch(stall_seconds: float) -> StallWatch:
    return StallWatch(stall_seconds, grace_seconds=0.2, poll_seconds=0.02)


def end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_kills_what_ignores_sigterm() -> None:
    process = start(STUBBORN)
    with watch(0.2) as guard:
        guard.start(process.pid)
        assert end(process) == -signal.SIGKILL
    assert guard.stalled


def test_sigterm_is_enough_for_the_rest() -> None:
    process = start("import time; print('ready', flush=True); time.sleep(60)")
    with watch(0.2) as guard:
        guard.start(process.pid)
        assert end(process) == -signal.SIGTERM
    assert guard.stalled


def test_progress_in_the_counters_keeps_it_alive() -> None:
    process = start("import time; print('ready', flush=True); time.sleep(2)")
    with watch(1.5) as guard:
        guard.start(process.pid)
        for count in range(40):
            guard.counters((count, 0))
            time.sleep(0.05)
        assert end(process) == 0
    assert not guard.stalled


def test_counters_that_fall_back_are_no_progress() -> None:
    # A retried upload counts its bytes down and up again, for ever.
    process = start(STUBBORN)
    began = time.monotonic()
    with watch(0.4) as guard:
        guard.start(process.pid)
        heights: List[int] = [5, 3]
        while process.poll() is None and time.monotonic() - began < 20:
            guard.counters((heights[0],))
            heights.reverse()
            time.sleep(0.02)
        assert end(process) == -signal.SIGKILL
    assert guard.stalled


def test_reading_a_file_is_progress() -> None:
    # rclone hashes a large file before it sends the first byte: nothing is counted meanwhile.
    process = start(READER)
    with watch(1.5) as guard:
        guard.start(process.pid)
        assert end(process) == 0
    assert not guard.stalled


def test_a_process_that_ended_is_left_alone() -> None:
    process = start("print('ready', flush=True)")
    assert end(process) == 0
    with watch(0.05) as guard:
        guard.start(process.pid)
        time.sleep(0.3)


def test_a_probe_that_fails_ends_it_at_once() -> None:
    def probe() -> None:
        raise BackupError("revoked")

    process = start(STUBBORN)
    with StallWatch(
        60, grace_seconds=0.2, poll_seconds=0.02, probe=probe, probe_seconds=0.1
    ) as guard:
        guard.start(process.pid)
        assert end(process) == -signal.SIGKILL
    assert not guard.stalled
    assert str(guard.refused) == "revoked"


def test_a_probe_that_passes_is_asked_again_later() -> None:
    asked: List[float] = []
    process = start("import time; print('ready', flush=True); time.sleep(1)")
    with StallWatch(
        60,
        poll_seconds=0.02,
        probe=lambda: asked.append(time.monotonic()),
        probe_seconds=0.3,
    ) as guard:
        guard.start(process.pid)
        assert end(process) == 0
    assert 1 <= len(asked) <= 4
    assert guard.refused is None


def test_without_a_process_nothing_is_ended() -> None:
    with watch(0.05) as guard:
        time.sleep(0.2)
    assert not guard.stalled
