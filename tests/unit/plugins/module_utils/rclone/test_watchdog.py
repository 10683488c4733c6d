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

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone import watchdog
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.watchdog import StallWatch

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
READER = """
import sys
print("ready", flush=True)
with open("/dev/zero", "rb", buffering=0) as stream:
    while sys.stdin.readline():
        for _ in range(8):
            stream.read(1024**2)
        print("read", flush=True)
"""
SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"


def start(program: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def watch(stall_seconds: float) -> StallWatch:
    return StallWatch(stall_seconds, grace_seconds=0.2, poll_seconds=0.02)


def end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=240)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


class Clock:
    """The time that the watchdog sees: it passes when a test says so, and is looked at each time.

    However busy the machine is, what happens between two moments happens between these two.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.looks = 0
        monkeypatch.setattr(watchdog, "time", self)
        real = watchdog._read_bytes

        def look(pid: int) -> int:
            self.looks += 1
            return real(pid)

        monkeypatch.setattr(watchdog, "_read_bytes", look)

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.see()

    def see(self) -> None:
        """Return when the watchdog has looked at what is true now, and has drawn its conclusion."""
        looks, deadline = self.looks, time.monotonic() + 60
        while self.looks < looks + 2:
            assert time.monotonic() < deadline, "the watchdog does not look any more"
            time.sleep(0.005)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_kills_what_ignores_sigterm() -> None:
    process = start(STUBBORN)
    with watch(0.2) as guard:
        guard.start(process.pid)
        assert end(process) == -signal.SIGKILL
    assert guard.stalled


def test_sigterm_is_enough_for_the_rest() -> None:
    process = start(SLEEPER)
    with watch(0.2) as guard:
        guard.start(process.pid)
        assert end(process) == -signal.SIGTERM
    assert guard.stalled


def test_progress_in_the_counters_keeps_it_alive_until_there_is_none(clock: Clock) -> None:
    process = start(SLEEPER)
    with watch(10) as guard:
        guard.start(process.pid)
        for count in range(5):
            guard.counters((count, 0))
            clock.advance(9)
        assert not guard.stalled
        assert process.poll() is None
        clock.now += 1
        assert end(process) == -signal.SIGTERM
    assert guard.stalled


def test_counters_that_fall_back_are_no_progress() -> None:
    # A retried upload counts its bytes down and up again, for ever.
    process = start(STUBBORN)
    began = time.monotonic()
    with watch(0.4) as guard:
        guard.start(process.pid)
        heights: List[int] = [5, 3]
        while process.poll() is None and time.monotonic() - began < 240:
            guard.counters((heights[0],))
            heights.reverse()
            time.sleep(0.02)
        assert end(process) == -signal.SIGKILL
    assert guard.stalled


def test_reading_a_file_is_progress_until_nothing_is_read(clock: Clock) -> None:
    # rclone hashes a large file before it sends the first byte: nothing is counted meanwhile.
    process = start(READER)
    assert process.stdin is not None
    assert process.stdout is not None
    with watch(10) as guard:
        guard.start(process.pid)
        for _tick in range(5):
            clock.advance(9)
            process.stdin.write(b"read\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"read\n"
            clock.see()
        assert not guard.stalled
        assert process.poll() is None
        clock.now += 10
        assert end(process) == -signal.SIGTERM
    assert guard.stalled


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


def test_a_probe_that_passes_is_asked_again_later(clock: Clock) -> None:
    asked: List[float] = []
    process = start(SLEEPER)
    with StallWatch(
        100, poll_seconds=0.02, probe=lambda: asked.append(clock.now), probe_seconds=10
    ) as guard:
        guard.start(process.pid)
        began = clock.now
        for _tick in range(5):
            clock.advance(5)
        assert process.poll() is None
        process.kill()
        end(process)
    assert asked == [began + 10, began + 20]
    assert guard.refused is None


def test_without_a_process_nothing_is_ended() -> None:
    with watch(0.05) as guard:
        time.sleep(0.2)
    assert not guard.stalled
