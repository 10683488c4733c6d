# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.progress import (
    LINE_WIDTH,
    ProgressBar,
    TransferStats,
    human_bytes,
    human_seconds,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_700_000_000, "1.7 GB"), (5e15, "5000.0 TB")],
)
def test_bytes_have_decimal_units(size_bytes: float, text: str) -> None:
    assert human_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (59, "59 s"), (90, "2 min"), (12000, "3 h 20 min")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_a_terminal_shows_share_rate_and_time_left_and_a_file_nothing() -> None:
    stats = TransferStats(bytes=500, total_bytes=1000, speed=2e6, eta_seconds=125)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        progress = ProgressBar(stream, "upload")
        progress.transfer(stats)
        progress.end()
    shown = terminal.getvalue().split("\r")[1]
    assert "50 %" in shown
    assert "2.0 MB/s, 2 min left" in shown
    assert len(shown) == LINE_WIDTH
    assert pipe.getvalue() == ""
