# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job from start to end, on this machine, without an account anywhere.

A stand-in for B2 and a bare Debian board (ARM64, emulated) with its siblings; site.yml, twice;
a night; a restore; and PostgreSQL reading its rows from the restored copy.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import setup
from .docker import container_exists
from .host import architecture
from .images import remove_images, services
from .lab.inventory import secret_values
from .lab.lab import bucket_names, create, destroy
from .lab.names import LabNames
from .lab.night import (
    back_up,
    differences,
    restore,
    rows_of_restored,
    sealed_nights,
    watch_downtime,
)
from .lab.playbook import play
from .lab.services import CHECKSUM_QUERY, psql
from .paths import cache_dir, log_dir
from .report import FAILED, Report
from .shell import ToolError

NAMES = LabNames("demo")
SHOWN_NAMES = 5
SHOWN_CHARACTERS = 88


def main(argv: Sequence[str]) -> int:
    """Run the demo, or remove what it made."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--arch", choices=["arm64", "native"], default="arm64", help="default: %(default)s"
    )
    parser.add_argument("--clean", action="store_true", help="remove what the demo made, and stop")
    arguments = parser.parse_args(argv)
    if os.geteuid() != 0:
        sys.stderr.write(
            "make demo and make demo-clean need root: the board's SSD is a file system that is "
            "mounted, and what is missing here is installed with apt. Try: sudo make demo\n"
        )
        return 1
    if arguments.clean:
        return _clean()
    report = Report()
    arch = architecture() if arguments.arch == "native" else arguments.arch
    try:
        _demo(report, arguments.arch, arch)
    except ToolError as error:
        sys.stderr.write(f"\n{error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        report.say("make demo starts again, make demo-clean removes what was made so far")
        return 130
    print()
    print(report.table(f"make demo ({arch})"))
    if report.count(FAILED):
        print(f"\nThe demo failed. {_whereabouts()}")
        return 1
    print(f"\nIt all worked. Look around: docker exec -it {NAMES.potato} bash")
    print("make demo-clean removes it all.")
    return 0


def _demo(report: Report, part: str, arch: str) -> None:
    log = log_dir() / "demo-ansible.log"
    log.unlink(missing_ok=True)
    with report.step("set-up: what is missing here"):
        _set_up(part, report)
    with report.step("board, siblings and stand-in") as detail:
        create(NAMES, arch, report.say)
        rows = psql(NAMES, "db", CHECKSUM_QUERY)
        detail.text = f"PostgreSQL with {rows}"
    with report.step("site.yml on the bare board") as detail:
        recap = play(NAMES, "site", log)
        detail.text = f"ok={recap.ok} changed={recap.changed}"
        if recap.changed == 0:
            raise ToolError("site.yml changed nothing on a bare board")
    with report.step("site.yml again") as detail:
        recap = play(NAMES, "site", log)
        detail.text = f"ok={recap.ok} changed={recap.changed}"
        if recap.changed != 0:
            raise ToolError(f"a second site.yml changed {recap.changed} things, see {log}")
    with report.step("backup-to-b2.sh") as detail:
        detail.text = _back_up()
    with report.step("what lies in the bucket") as detail:
        detail.text = _look_into_bucket(report)
    target = NAMES.ssd / "restored"
    with report.step("restore-from-b2.sh") as detail:
        told = restore(NAMES, target)
        detail.text = f"{told['files']} files, {told['bytes']} bytes to {target}"
    with report.step("restored against staged") as detail:
        detail.text = _compare(target)
    with report.step("PostgreSQL on the restored copy") as detail:
        found = rows_of_restored(NAMES, target, services().tag)
        if found != rows:
            raise ToolError(f"restored rows are {found}, backed up were {rows}")
        detail.text = found


def _set_up(part: str, report: Report) -> None:
    problems = setup.prepare(["lint", "docker", part], report.say)
    found = [problem for problem in problems.values() if problem]
    if found:
        raise ToolError(found[0])


def _back_up() -> str:
    record: dict[str, Any] = {}
    down = watch_downtime(NAMES, lambda: record.update(back_up(NAMES)))
    if record.get("exit_code") != 0:
        raise ToolError(f"the night ended with {record.get('exit_code')}: {record}")
    if not all(down.values()):
        raise ToolError(f"not every service was stopped for its copy: {down}")
    nights = sealed_nights(NAMES)
    if nights != [record["point"]]:
        raise ToolError(f"the restore script lists {nights}, not the night {record['point']}")
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(down.items()))
    return f"services down: {shown}"


def _look_into_bucket(report: Report) -> str:
    names = bucket_names(NAMES)
    readable = [name for name in names if "docker" in name or "pihole" in name]
    if readable or not names:
        raise ToolError(f"{len(names)} names in the bucket, readable: {readable[:SHOWN_NAMES]}")
    if any(secret in name for secret in secret_values(NAMES) for name in names):
        raise ToolError("a secret is in a name in the bucket")
    sample = names[:: max(1, len(names) // SHOWN_NAMES)][:SHOWN_NAMES]
    report.say("\n".join(_shortened(name) for name in sample))
    return f"{len(names)} objects, names encrypted"


def _shortened(name: str) -> str:
    """Return both ends of a long name: its directories are those of many others."""
    if len(name) <= SHOWN_CHARACTERS:
        return name
    half = (SHOWN_CHARACTERS - len("...")) // 2
    return f"{name[:half]}...{name[-half:]}"


def _compare(target: Path) -> str:
    found = differences(NAMES, target)
    if found:
        raise ToolError(f"{len(found)} differences, the first: {'; '.join(found[:5])}")
    return "rsync -aHAXn --checksum --delete finds no difference"


def _clean() -> int:
    report = Report()
    try:
        with report.step("demo's containers, SSD, bucket"):
            destroy(NAMES)
        with report.step("images"):
            remove_images(report.say)
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(
        "What was installed stays, and Docker runs on; so do downloads in "
        f"{cache_dir()} (delete it as you like)."
    )
    return 0


def _whereabouts() -> str:
    if container_exists(NAMES.potato):
        return f"Its board is still there: docker exec -it {NAMES.potato} bash"
    return "There is no board yet to look at."


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
