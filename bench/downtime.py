# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long services are down: our capture, the floor, and the plain script, side by side.

``python bench/downtime.py [--files N] [--bytes N] [--rounds N] [--json FILE]`` runs PostgreSQL, a
SQLite writer and a web service in real containers over N files of N bytes together. Before each
measurement a few dozen files and both databases change. All three copy onto the same disk.

floor   docker stop, one rsync walk of the service's own volume, docker start, until healthy: what
        no method that stops the service can do without
script  the obvious script: stop all, sleep 10, rsync -a, start all
ours    run_capture

Down means: from the call that stops a service until it is healthy (runs, without a health check).
The figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests"), str(CHECKOUT / ".collections")]

from integration.container_lab import (  # noqa: E402 # needs the path above
    Lab,
    docker,
    night,
)
from integration.waits import wait_for  # noqa: E402 # needs the path above

from tools.images import ensure_image, services  # noqa: E402 # needs the path above

SERVICES = ("pg", "writer", "web")
SCRIPT_SLEEP_SECONDS = 10.0
CHANGED_FILES = 36
POLL_SECONDS = 0.02

# What the issue of the container sequence asks for.
WEB_MARGIN_SECONDS = 1.0
FLOOR_RATIO_MAX = 1.3
SCRIPT_RATIO_MIN = 5.0

Downtimes = Dict[str, float]


def fill(directory: Path, files: int, total_bytes: int, seed: int) -> None:
    """*files* files in directories of 100; half of the bytes are in ten large ones."""
    source = random.Random(seed)
    large = min(10, files)
    small_bytes = max(1, total_bytes // 2 // max(1, files - large))
    for number in range(files):
        path = directory / f"d{number // 100:04}" / f"f{number:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = total_bytes // 2 // large if number < large else small_bytes
        with path.open("wb") as stream:
            while size > 0:
                stream.write(source.randbytes(min(size, 1 << 20)))
                size -= 1 << 20


def start_stack(lab: Lab, files: int, total_bytes: int) -> None:
    """Start the three services; most files are the writer's, a twentieth the web service's."""
    for name, share in (("writer", 0.95), ("web", 0.05)):
        (lab.volumes / name).mkdir()
        fill(lab.volumes / name, int(files * share), int(total_bytes * 0.8 * share), len(name))
    lab.run(
        "pg",
        "--health-cmd=pg_isready -q -h /run/postgresql",
        "--health-interval=1s",
        command="exec lpb-postgres",
    )
    lab.run("writer", command="exec lpb-sqlite-writer")
    lab.run("web", command="exec lpb-web")
    wait_for(lambda: is_ready(lab, "pg"), "PostgreSQL is healthy", seconds=60)
    rows = max(1000, total_bytes // 5 // 150)  # a fifth of the bytes; a row takes about 150
    sql(
        lab,
        f"create table t as select n, repeat(md5(n::text), 3) r from generate_series(1, {rows}) n",
    )
    sql(lab, "checkpoint")


def sql(lab: Lab, statement: str) -> None:
    docker(
        *("exec", lab.name("pg"), "psql", "-q", "-h", "/run/postgresql", "-U", "postgres"),
        *("-c", statement),
    )


def change(lab: Lab, number: int) -> None:
    """What a day changes: a few dozen files and both databases."""
    for name in ("writer", "web"):
        files = sorted((lab.volumes / name).glob("d*/f*"))[10:]
        for path in random.Random(number).sample(files, min(CHANGED_FILES // 2, len(files))):
            path.write_bytes(path.read_bytes() + b"x")
    sql(
        lab,
        f"insert into t select n, md5(n::text) from generate_series(1, 1000) n where {number} > 0",
    )


def is_ready(lab: Lab, short: str) -> bool:
    state = lab.inspect(short)["State"]
    return bool(state["Running"]) and state.get("Health", {}).get("Status", "healthy") == "healthy"


def until_ready(lab: Lab, short: str) -> float:
    while not is_ready(lab, short):
        time.sleep(POLL_SECONDS)
    return time.monotonic()


def rsync(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    argv = ["rsync", "-aHAX", "--numeric-ids", "--delete", f"{source}/", f"{target}/"]
    done = subprocess.run(argv, check=False, capture_output=True)
    if done.returncode not in (0, 24):  # 24: files vanished while services run
        raise SystemExit(done.stderr.decode())


def floor(lab: Lab, copy: Path) -> Downtimes:
    """Each service by itself, right after a hot pass, with Docker's own commands."""
    down = {}
    for short in SERVICES:
        rsync(lab.volumes / short, copy / short)
        began = time.monotonic()
        docker("stop", "-t", "60", lab.name(short))
        rsync(lab.volumes / short, copy / short)
        docker("start", lab.name(short))
        down[short] = until_ready(lab, short) - began
    return down


def bounce(lab: Lab, short: str) -> float:
    """docker stop plus docker start, with nothing in between."""
    began = time.monotonic()
    docker("stop", "-t", "60", lab.name(short))
    docker("start", lab.name(short))
    return until_ready(lab, short) - began


def script(lab: Lab, copy: Path) -> Downtimes:
    """The plain script; what it copies to already holds the last night."""
    names = [lab.name(short) for short in SERVICES]
    began = time.monotonic()
    docker("stop", "-t", "60", *names)
    time.sleep(SCRIPT_SLEEP_SECONDS)
    rsync(lab.volumes, copy)
    docker("start", *names)
    return {short: until_ready(lab, short) - began for short in SERVICES}


def ours(lab: Lab) -> Downtimes:
    result = night(lab)["capture"]
    if result["warnings"]:
        raise SystemExit("\n".join(result["warnings"]))
    down = {
        n: seconds for group in result["groups"] for n, seconds in group["down_seconds"].items()
    }
    return {short: down[lab.name(short)] for short in SERVICES}


def measure(lab: Lab, scratch: Path, rounds: int) -> Dict[str, Downtimes]:
    found: Dict[str, List[Downtimes]] = {"floor": [], "script": [], "ours": []}
    bounces: List[float] = []
    night(lab)
    rsync(lab.volumes, scratch / "script")
    for number in range(1, rounds + 1):
        change(lab, 4 * number)
        found["ours"].append(ours(lab))
        change(lab, 4 * number + 1)
        found["floor"].append(floor(lab, scratch / "floor"))
        change(lab, 4 * number + 2)
        found["script"].append(script(lab, scratch / "script"))
        bounces.append(bounce(lab, "web"))
    medians = {
        way: {short: statistics.median(down[short] for down in downs) for short in SERVICES}
        for way, downs in found.items()
    }
    medians["stop and start"] = {"web": statistics.median(bounces)}
    return medians


def report(figures: Dict[str, Downtimes]) -> str:
    lines = [f"{'seconds down':16}" + "".join(f"{short:>9}" for short in SERVICES) + f"{'sum':>9}"]
    for way, down in figures.items():
        cells = "".join(f"{down[s]:9.2f}" if s in down else f"{'':9}" for s in SERVICES)
        lines.append(f"{way:16}{cells}{sum(down.values()):9.2f}")
    floors, mine = figures["floor"], figures["ours"]
    web = mine["web"] - figures["stop and start"]["web"]
    worst = max(SERVICES, key=lambda short: mine[short] / floors[short])
    ratio = mine[worst] / floors[worst]
    less = sum(figures["script"].values()) / sum(mine.values())
    lines += [
        "",
        f"web: {web:+.2f} s over docker stop and start (at most {WEB_MARGIN_SECONDS:+.0f} s)",
        f"every group: {ratio:.2f} x the floor at worst, {worst} (at most {FLOOR_RATIO_MAX})",
        f"summed: {less:.1f} x less than the plain script (at least {SCRIPT_RATIO_MIN:.0f})",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=21_000)
    parser.add_argument("--bytes", type=int, default=1_700_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    image = ensure_image(services(), say=lambda text: print(text, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="lpb-downtime-", dir=arguments.directory) as name:
        scratch = Path(name)
        with Lab(scratch / "lab", image) as lab:
            start_stack(lab, arguments.files, arguments.bytes)
            figures = measure(lab, scratch, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    print(f"{arguments.files} files, {arguments.bytes / 1e9:.1f} GB, {arguments.rounds} rounds")
    print(report(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
