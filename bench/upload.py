# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night costs: calls, weekly bytes, transfers at 100 ms round trips, memory.

``python bench/upload.py [--files N] [--small-files N] [--large-files N] [--large-bytes N]``
needs root (it mounts a disk image as the SSD).

calls       B2 calls of a night with nothing changed over N files, its check of the bucket included
weekly      bytes that a weekly point uploads, by reference and as a copy
transfers   seconds to send small files at a round trip of 100 ms: the plain script's flags
            (--transfers 2 --checkers 4) against ours with other numbers of transfers
memory      peak of all processes of a night together (proportional set size, sampled), with large
            files and N small ones; the bounds are those of the design
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
PATHS = [str(CHECKOUT / ".collections"), str(CHECKOUT / "tests"), str(CHECKOUT)]
sys.path[:0] = PATHS
# The night runs in a process of its own.
os.environ["PYTHONPATH"] = os.pathsep.join(PATHS)

from integration.night_host import NightHost, mounted_ssd  # noqa: E402 # needs the path above
from integration.remote_support import Remote  # noqa: E402 # needs the path above

from b2_standin.client import StandIn  # noqa: E402 # needs the path above

CALLS_MAX = 40
MEMORY_BYTES_MAX = 150 * 1024**2
FASTER_MIN = 4.0
ROUND_TRIP_SECONDS = 0.1
PLAIN = {"transfers": 2, "checkers": 4}
TRANSFERS = (4, 8, 12, 16, 32)
FILES_PER_DIRECTORY = 200
SAMPLE_SECONDS = 0.1
NIGHT_SECONDS_MAX = 3600
# Room for ext4's own tables beside the sources, staging and the log.
SPARE_BYTES = 512 * 1024**2
BLOCK_BYTES = 4096


def fill(directory: Path, files: int) -> None:
    """*files* small files, a few hundred a directory."""
    for number in range(files):
        below = directory / str(number // FILES_PER_DIRECTORY)
        if number % FILES_PER_DIRECTORY == 0:
            below.mkdir(parents=True)
        (below / f"file-{number}").write_bytes(b"%d" % number)


@contextmanager
def host_with(files: int, ssd_bytes: int) -> Iterator[NightHost]:
    """A host with *files* files in all, one of them outside its volumes."""
    with tempfile.TemporaryDirectory(prefix="lpb-bench-") as name:
        directory = Path(name)
        with StandIn.start(directory / "b2") as b2, mounted_ssd(directory, ssd_bytes) as ssd:
            host = NightHost(directory, ssd, b2)
            (host.compose / "compose.yml").write_text("services: {}\n", encoding="utf-8")
            fill(host.volumes / "many", files - 1)
            yield host


def night(host: NightHost) -> dict[str, Any]:
    """A night that must go well, however long it takes; its record."""
    done = host.program("run", "--json", timeout=NIGHT_SECONDS_MAX)
    if done.returncode != 0:
        raise SystemExit(done.stderr + host.log())
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def ssd_bytes_for(files: int, large_bytes: int = 0) -> int:
    """The sources and their staged copy."""
    return SPARE_BYTES + 2 * (3 * BLOCK_BYTES * files + large_bytes)


def measure_calls_and_weekly(files: int) -> bool:
    """Print the calls of a night with nothing changed, and what weekly points upload."""
    with host_with(files, ssd_bytes_for(files)) as host:
        first = night(host)
        time.sleep(1.1)
        host.stand_in.reset_stats()
        night(host)
        stats = host.stand_in.stats()
        print(f"calls    {files} files, nothing changed: {stats['calls_total']} calls", end="")
        print(f" (at most {CALLS_MAX} for 20,000), by class {stats['classes']}", flush=True)
        print(f"         {stats['calls']}")
        good = stats["calls_total"] <= CALLS_MAX or files > 20_000
        today = datetime.now(timezone.utc).astimezone().date().weekday()
        for mode in ("reference", "copy"):
            host.write_config(weekly={"weekday": str(today), "mode": mode})
            time.sleep(1.1)
            host.stand_in.reset_stats()
            night(host)
            stats = host.stand_in.stats()
            print(
                f"weekly   {mode}: {stats['calls']['b2_upload_file']} objects uploaded (manifest, "
                f"seal, the point), {stats['calls'].get('b2_copy_file', 0)} files copied by B2; "
                f"the plain script sends all {files} again, {first['upload']['bytes']} bytes",
                flush=True,
            )
            # Another weekly point of the same day: the first one must be out of the way.
            host.rclone("delete", "b2-encrypted:points", "--include", "backup-*")
    return good


def measure_transfers(files: int) -> bool:
    """Print how long small files take at a round trip, by the number of transfers."""
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="lpb-bench-") as name, StandIn.start() as b2:
        directory = Path(name)
        fill(directory / "source", files)
        remote = Remote(b2, directory)
        b2.link(delay_seconds=ROUND_TRIP_SECONDS)
        for number, settings in enumerate([PLAIN, *({"transfers": n} for n in TRANSFERS)]):
            rclone = remote.rclone(**settings)
            started = time.monotonic()
            rclone.copy(
                str(directory / "source"),
                rclone.crypt(f"run-{number}"),
                no_traverse=True,
                no_check_dest=True,
            )
            spent = time.monotonic() - started
            seconds[settings["transfers"]] = spent
            ratio = seconds[PLAIN["transfers"]] / spent
            print(
                f"transfers {settings['transfers']:>2}: {files} files in {spent:.1f} s, "
                f"{files / spent:.0f} a second, {ratio:.1f} times the plain script's"
            )
    return seconds[PLAIN["transfers"]] / min(seconds.values()) >= FASTER_MIN


def measure_memory(files: int, large_files: int, large_bytes: int) -> bool:
    """Print the peak of all processes of a first night."""
    with host_with(files, ssd_bytes_for(files, large_files * large_bytes)) as host:
        for number in range(large_files):
            with (host.volumes / f"large-{number}").open("wb") as stream:
                for _megabyte in range(large_bytes // 1024**2):
                    stream.write(os.urandom(1024**2))
        peak = Peak()
        with subprocess.Popen(host.command("run"), stderr=subprocess.DEVNULL) as run:
            peak.watch(run)
            if run.wait() != 0:
                raise SystemExit(host.log())
        print(
            f"memory   {files} small files and {large_files} of {large_bytes // 1024**2} MiB: "
            f"{peak.bytes / 1024**2:.0f} MiB at most (bound {MEMORY_BYTES_MAX // 1024**2})"
        )
    return peak.bytes <= MEMORY_BYTES_MAX


class Peak:
    """The largest memory of a process and all below it."""

    def __init__(self) -> None:
        self.bytes = 0

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Sample in a thread until *process* ends."""

        def sample() -> None:
            while process.poll() is None:
                self.bytes = max(self.bytes, sum(map(pss_bytes, family(process.pid))))
                time.sleep(SAMPLE_SECONDS)

        threading.Thread(target=sample, daemon=True).start()


def family(pid: int) -> list[int]:
    """*pid* and all processes below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                # It has just ended.
                continue
    return found


def pss_bytes(pid: int) -> int:
    """Memory with shared pages shared out; 0 when the process has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def main() -> int:
    """Run all parts; 1 when one misses its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--small-files", type=int, default=2_000, help="for the transfers")
    parser.add_argument("--large-files", type=int, default=4)
    parser.add_argument("--large-bytes", type=int, default=256 * 1024**2)
    arguments = parser.parse_args()
    good = [
        measure_transfers(arguments.small_files),
        measure_calls_and_weekly(arguments.files),
        measure_memory(arguments.files, arguments.large_files, arguments.large_bytes),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
