# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What wears the SSD: bytes that reach it in a night, beside the plain script's.

``python bench/wear.py [--files N] [--file-bytes N]`` needs root (it mounts disk images).

Both work on the same sources: the plain script is ``rsync -avz --delete`` into ``daily`` and, once
a week, ``rsync -av`` of that into ``weekly/backup-DATE``, without its log. The kernel counts the
bytes at the device, journal included, after a sync. Access times are a day old before each night,
as on a real board: most of what a night with nothing changed writes is those of the directories
that were read, unless the SSD is mounted with ``noatime``. The state (records and manifests) lies
on the system's disk and is printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PATHS = [str(CHECKOUT / ".collections"), str(CHECKOUT / "tests"), str(CHECKOUT)]
sys.path[:0] = PATHS
# The night runs in a process of its own.
os.environ["PYTHONPATH"] = os.pathsep.join(PATHS)

from integration.disk_writes import (  # noqa: E402 # needs the path above
    MKFS_OPTIONS,
    a_day_passes,
    bytes_written,
)
from integration.night_host import NightHost, mounted_ssd  # noqa: E402 # needs the path above

from b2_standin.client import StandIn  # noqa: E402 # needs the path above

# The design: almost nothing.
UNCHANGED_BYTES_MAX = 2 * 1024**2
FILES_PER_DIRECTORY = 50
NIGHT_SECONDS_MAX = 3600
# Sources, staging, and the plain script's daily and weekly; ext4 gives each 16 KiB an inode.
COPIES = 5
INODE_EVERY_BYTES = 16 * 1024
SPARE_BYTES = 256 * 1024**2
STATE_BYTES = 256 * 1024**2


class Bench:
    """One SSD with sources, staged by our nights and by the plain script."""

    def __init__(self, host: NightHost, state: Path) -> None:
        self.host = host
        self.state = state
        self.plain = host.ssd / "plain"

    def night(self) -> None:
        """One of ours."""
        done = self.host.program("run", "--json", timeout=NIGHT_SECONDS_MAX)
        if done.returncode != 0:
            raise SystemExit(done.stderr + self.host.log())
        json.loads(done.stdout)

    def plain_night(self) -> None:
        """The plain script's."""
        self.rsync("-avz", "--delete", f"{self.host.volumes}/", f"{self.plain}/daily/")

    def plain_week(self) -> None:
        """The plain script's, on its weekly day."""
        self.plain_night()
        self.rsync("-av", f"{self.plain}/daily/", f"{self.plain}/weekly/backup-2026-11-22/")

    def rsync(self, *arguments: str) -> None:
        """rsync as a script calls it."""
        subprocess.run(["rsync", "--mkpath", *arguments], check=True, stdout=subprocess.DEVNULL)

    def measure(self, what: str, plain: Callable[[], None]) -> int:
        """Print what both write to the SSD; returns our bytes."""
        theirs, _state = self._written(plain)
        ours, state = self._written(self.night)
        print(
            f"{what:<18} ours {ours:>12,} bytes   plain script {theirs:>12,} bytes   "
            f"(ours, to the system's disk: {state:,})",
            flush=True,
        )
        return ours

    def _written(self, work: Callable[[], None]) -> tuple[int, int]:
        a_day_passes(self.host.volumes, self.host.ssd / "backup-staging", self.plain)
        # Restore points have names to the second.
        time.sleep(1.1)
        before = bytes_written(self.host.ssd), bytes_written(self.state)
        work()
        return bytes_written(self.host.ssd) - before[0], bytes_written(self.state) - before[1]


def fill(directory: Path, files: int, file_bytes: int) -> None:
    """*files* files that can't be compressed."""
    for number in range(files):
        below = directory / str(number // FILES_PER_DIRECTORY)
        if number % FILES_PER_DIRECTORY == 0:
            below.mkdir(parents=True)
        (below / f"file-{number}").write_bytes(os.urandom(file_bytes))


def measure(files: int, file_bytes: int) -> bool:
    """Run all nights; whether the one with nothing changed stays below its bound."""
    ssd_bytes = SPARE_BYTES + COPIES * files * (file_bytes + INODE_EVERY_BYTES)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpb-bench-")))
        (directory / "system").mkdir()
        ssd = stack.enter_context(mounted_ssd(directory, ssd_bytes, MKFS_OPTIONS))
        system = stack.enter_context(mounted_ssd(directory / "system", STATE_BYTES, MKFS_OPTIONS))
        b2 = stack.enter_context(StandIn.start(directory / "b2"))
        host = NightHost(directory, ssd, b2)
        host.write_config(paths={**host.config()["paths"], "state": str(system / "state")})
        (host.compose / "compose.yml").write_text("services: {}\n", encoding="utf-8")
        fill(host.volumes / "many", files, file_bytes)
        bench = Bench(host, system)
        print(
            f"{files} files of {file_bytes:,} bytes in {files // FILES_PER_DIRECTORY} directories"
        )
        bench.measure("first night", bench.plain_night)
        unchanged = bench.measure("nothing changed", bench.plain_night)
        (host.volumes / "many/0/file-0").write_bytes(os.urandom(file_bytes + 1))
        bench.measure("one file changed", bench.plain_night)
        today = datetime.now(timezone.utc).astimezone().date().weekday()
        host.write_config(
            paths={**host.config()["paths"], "state": str(system / "state")},
            weekly={"weekday": str(today)},
        )
        bench.measure("weekly snapshot", bench.plain_week)
        # What is left is the times at which directories were read: a mount option saves them.
        subprocess.run(["mount", "-o", "remount,noatime", ssd], check=True)
        bench.measure("unchanged, noatime", bench.plain_night)
    return unchanged <= UNCHANGED_BYTES_MAX


def main() -> int:
    """1 when a night with nothing changed writes more than its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--file-bytes", type=int, default=20_000)
    arguments = parser.parse_args()
    return 0 if measure(arguments.files, arguments.file_bytes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
