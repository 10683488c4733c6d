# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night costs: calls, weekly bytes, transfers at 100 ms round trips, memory.

``python bench/upload.py [PART...] [--files N] [--flat-files N] [--large-files N]
[--large-bytes N] [--small-files N]`` needs root (it mounts a disk image as the SSD). All four
parts take about two hours, because rclone makes no more than 100 calls a second.

calls       B2 calls of a night with nothing changed over N files, its check of the bucket included
weekly      bytes that a weekly point uploads, by reference and as a copy
transfers   seconds to send N files at a round trip of 100 ms: the plain script's flags
            (--transfers 2 --checkers 4) against ours; other numbers of transfers with fewer files
memory      peak of all processes of a night together (proportional set size, sampled), with large
            files and N small ones; the bounds are those of the design
flat        the same peak, and the calls, with many files in one directory: a first night, one with
            nothing changed, and one that compares the whole bucket
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
# B2 charges nothing for this many calls of class B and as many of class C a day.
FREE_CALLS = 2500
MEMORY_BYTES_MAX = 150 * 1024**2
FASTER_MIN = 4.0
ROUND_TRIP_SECONDS = 0.1
PLAIN = {"transfers": 2, "checkers": 4}
OURS = {"transfers": 12}
TRANSFERS = (2, 4, 8, 12, 16, 32)
FILES_PER_DIRECTORY = 200
SAMPLE_SECONDS = 0.1
NIGHT_SECONDS_MAX = 3 * 3600
# Room for ext4's own tables beside the sources, staging and the log.
SPARE_BYTES = 512 * 1024**2
# ext4 makes an inode for this many bytes unless told otherwise; a small file takes less.
INODE_EVERY_BYTES = 16 * 1024


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
    return SPARE_BYTES + 2 * (INODE_EVERY_BYTES * files + large_bytes)


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


def measure_transfers(files: int, fewer_files: int) -> bool:
    """Print how long small files take at a round trip, by the number of transfers."""
    plain = send_seconds(files, PLAIN)
    ratio = plain / send_seconds(files, OURS)
    print(f"transfers {files} files: {ratio:.1f} times as fast (bound {FASTER_MIN})", flush=True)
    for number in TRANSFERS:
        send_seconds(fewer_files, {"transfers": number})
    return ratio >= FASTER_MIN


def send_seconds(files: int, settings: dict[str, int]) -> float:
    """Seconds that rclone takes with *settings*, and a line about it."""
    with tempfile.TemporaryDirectory(prefix="lpb-bench-") as name, StandIn.start() as b2:
        directory = Path(name)
        fill(directory / "source", files)
        rclone = Remote(b2, directory).rclone(**settings)
        b2.link(delay_seconds=ROUND_TRIP_SECONDS)
        started = time.monotonic()
        rclone.copy(
            str(directory / "source"), rclone.crypt("to"), no_traverse=True, no_check_dest=True
        )
        spent = time.monotonic() - started
    print(
        f"transfers {settings['transfers']:>2}: {files} files in {spent:.1f} s, "
        f"{files / spent:.0f} a second",
        flush=True,
    )
    return spent


def measure_memory(files: int, large_files: int, large_bytes: int) -> bool:
    """Print the peak of all processes of a first night."""
    with host_with(files, ssd_bytes_for(files, large_files * large_bytes)) as host:
        for number in range(large_files):
            with (host.volumes / f"large-{number}").open("wb") as stream:
                for _megabyte in range(large_bytes // 1024**2):
                    stream.write(os.urandom(1024**2))
        what = f"{files} small files and {large_files} of {large_bytes // 1024**2} MiB"
        return watched_night(host, "memory", what)


def measure_flat(files: int) -> bool:
    """Print the peak of nights over one directory of *files* files, and their calls."""
    with host_with(1, ssd_bytes_for(files)) as host:
        directory = host.volumes / "flat"
        directory.mkdir()
        for number in range(files):
            (directory / f"file-{number}").write_bytes(b"%d" % number)
        good = [watched_night(host, "flat", f"{files} files in one directory, first night")]
        for what in ("nothing changed", "the whole bucket compared"):
            if what != "nothing changed":
                (host.state / "bucket.json").unlink()
            time.sleep(1.1)
            host.stand_in.reset_stats()
            good.append(watched_night(host, "flat", what))
            stats = host.stand_in.stats()
            print(f"         {stats['classes']} {stats['calls']}", flush=True)
            good.append(all(stats["classes"].get(one, 0) <= FREE_CALLS for one in "BC"))
    return all(good)


def watched_night(host: NightHost, part: str, what: str) -> bool:
    """Run a night and print its peak; whether that is inside the bound."""
    peak = Peak()
    started = time.monotonic()
    with subprocess.Popen(host.command("run"), stderr=subprocess.DEVNULL) as run:
        peak.watch(run)
        if run.wait() != 0:
            raise SystemExit(host.log())
    print(
        f"{part:<8} {what}: {peak.bytes / 1024**2:.0f} MiB at most (bound "
        f"{MEMORY_BYTES_MAX // 1024**2}), {peak.told}; {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return peak.bytes <= MEMORY_BYTES_MAX


class Peak:
    """The largest memory of a process and all below it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.told = ""

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Sample in a thread until *process* ends."""

        def sample() -> None:
            while process.poll() is None:
                each = {pid: pss_bytes(pid) for pid in family(process.pid)}
                if sum(each.values()) > self.bytes:
                    self.bytes = sum(each.values())
                    self.told = ", ".join(
                        f"{program_of(pid)} {size // 1024**2}" for pid, size in each.items()
                    )
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


def program_of(pid: int) -> str:
    """Its name; "?" when the process has just ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    except OSError:
        return "?"


def pss_bytes(pid: int) -> int:
    """Memory with shared pages shared out; 0 when the process has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def main() -> int:
    """Run the parts that are named, or all; 1 when one misses its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="calls, transfers, memory, flat")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--small-files", type=int, default=2_000, help="for TRANSFERS")
    parser.add_argument("--flat-files", type=int, default=200_000)
    parser.add_argument("--large-files", type=int, default=4)
    parser.add_argument("--large-bytes", type=int, default=1024**3)
    given = parser.parse_args()
    parts = {
        "calls": lambda: measure_calls_and_weekly(given.files),
        "transfers": lambda: measure_transfers(given.files, given.small_files),
        "memory": lambda: measure_memory(given.files, given.large_files, given.large_bytes),
        "flat": lambda: measure_flat(given.flat_files),
    }
    if unknown := set(given.parts) - set(parts):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    good = [parts[name]() for name in given.parts or parts]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
