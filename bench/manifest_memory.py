# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak memory of the manifest: describe, describe again, plan the upload, apply, compare.

``python bench/manifest_memory.py [--files N ...] [--directory DIR]`` makes N small files, two
fifths of them in one flat directory, with a weekly snapshot of hard links beside them (so that
every file has two names), 1,000 pairs of hard links of their own, and odd names. Each step runs
in a process of its own, which reports the peak of its resident memory. Needs room for two copies
of N small files in DIR (a new directory below the system's temporary one by default).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

COLLECTIONS = Path(__file__).resolve().parent.parent / ".collections"
sys.path.insert(0, str(COLLECTIONS))

from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    apply as manifest_apply,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    carriers as manifest_carriers,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    compare as manifest_compare,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    hard_links as manifest_links,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    travelling,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest import (
    walk as manifest_walk,
)

FILES = (20_000, 500_000)
RSS_MIB_MAX = 60
FILES_PER_DIRECTORY = 100
HARD_LINK_PAIRS = 1_000


def make_tree(tree: Path, files: int) -> None:
    """*files* files below *tree*; content and names differ."""
    flat = files * 2 // 5
    (tree / "flat").mkdir(parents=True)
    for number in range(flat):
        (tree / "flat" / f"a file with a name of usual length {number:07}.txt").write_bytes(
            b"%d" % number
        )
    for number in range(flat, files):
        directory = tree / "deep" / f"{number // FILES_PER_DIRECTORY // 100:03}"
        directory /= f"{number // FILES_PER_DIRECTORY:05}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True, exist_ok=True)
        odd = "\n" if number % 50 == 0 else ""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number:07}{odd}.txt").write_bytes(b"%d" % number)
    (tree / "links").mkdir()
    for number in range(HARD_LINK_PAIRS):
        first = tree / "links" / f"{number}"
        first.write_bytes(b"%d" % number)
        first.with_suffix(".again").hardlink_to(first)


def snapshot(base: Path) -> None:
    """The weekly snapshot, as the night makes it."""
    with manifest_links.link_window(str(base / "windows.json")):
        subprocess.run(["cp", "-al", str(base / "daily"), str(base / "weekly")], check=True)


def download(base: Path) -> None:
    """What travels, with nothing but its bytes and mtimes."""
    lines = base / "list"
    with lines.open("wb") as stream:
        for path in travelling.iter_upload_paths(base / "manifest.gz"):
            stream.write(path + b"\0")
    (base / "target").mkdir()
    subprocess.run(
        ["rsync", "-t", "--from0", f"--files-from={lines}", f"{base}/daily/", f"{base}/target/"],
        check=True,
    )


def describe(base: Path) -> str:
    result = manifest_walk.write_manifest(base / "daily", base / "manifest.gz")
    return f"{result.hashed_files} read"


def carriers(base: Path) -> str:
    with manifest_links.link_window(str(base / "windows.json")):
        result = manifest_carriers.plan_carriers(base / "daily", base / "manifest.gz")
    return f"{result.created} made"


def describe_again(base: Path) -> str:
    result = manifest_walk.write_manifest(
        base / "daily",
        base / "again.gz",
        previous=base / "manifest.gz",
        windows=manifest_links.read_link_windows(str(base / "windows.json")),
    )
    return f"{result.hashed_files} read"


def plan_upload(base: Path) -> str:
    changes = travelling.iter_upload_changes(base / "manifest.gz", base / "again.gz")
    return f"{sum(1 for _change in changes)} changes"


def apply(base: Path) -> str:
    result = manifest_apply.apply_manifest(base / "manifest.gz", base / "target")
    return f"{result.problems_total} problems"


def compare(base: Path) -> str:
    result = manifest_compare.compare_tree(base / "manifest.gz", base / "target")
    return f"{len(result.differences)} differences"


STEPS: Dict[str, Callable[[Path], str]] = {
    "describe": describe,
    "carriers": carriers,
    "describe again": describe_again,
    "plan upload": plan_upload,
    "apply": apply,
    "compare": compare,
}
# Done between the steps, in this process, before the step of that name.
PREPARATIONS: Dict[str, Callable[[Path], None]] = {"describe again": snapshot, "apply": download}


def peak_rss_kib() -> int:
    """The peak of this process alone; ru_maxrss would carry the parent's over exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")


def run_step(name: str, base: Path) -> None:
    started = time.monotonic()
    outcome = STEPS[name](base)
    seconds = time.monotonic() - started
    print(json.dumps({"rss_kib": peak_rss_kib(), "seconds": seconds, "outcome": outcome}))


def measure(files: int, parent: str) -> bool:
    """Run all steps over *files* files; whether every one stayed below the limit."""
    good = True
    with tempfile.TemporaryDirectory(prefix="manifest-memory.", dir=parent) as name:
        base = Path(name)
        make_tree(base / "daily" / "tree", files)
        for step in STEPS:
            if step in PREPARATIONS:
                PREPARATIONS[step](base)
            output = subprocess.run(
                [sys.executable, __file__, "--step", step, "--directory", name],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            found = json.loads(output)
            rss_mib = found["rss_kib"] / 1024
            good = good and rss_mib < RSS_MIB_MAX
            print(
                f"{files:>8} files  {step:<15} {rss_mib:6.1f} MiB RSS"
                f"  {found['seconds']:7.1f} s  {found['outcome']}",
                flush=True,
            )
        size = os.path.getsize(base / "manifest.gz")
        print(f"{files:>8} files  manifest of {size / files:.0f} bytes a file", flush=True)
    return good


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the manifest's memory.")
    parser.add_argument("--files", type=int, nargs="+", default=FILES)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.step:
        run_step(arguments.step, Path(arguments.directory))
        return 0
    results = [measure(files, arguments.directory) for files in arguments.files]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
