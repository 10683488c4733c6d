# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore --in-place: a restore point takes the place of the live data."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from typing import Any, Dict, List, Sequence, Tuple

from ..base.errors import EXIT_FAILED, EXIT_OK, EXIT_WARNINGS, BackupError
from ..base.progress import human_bytes, human_seconds
from ..config.schema import Config
from ..docker.engine import DockerClient
from ..filesystem.mounts import mount_holding, read_mounts
from ..manifest.model import Select, select_below
from ..points.model import Seal, point_id
from ..process.guardian import guarded
from ..process.logs import RunLog, stream_handler
from ..process.run_lock import RunLock
from ..restore.directory import check_free, check_target, restore_point
from ..restore.in_place import SwapResult, plan_groups, recover_all, swap_in_place
from ..restore.live_paths import Stage, is_ours, live_paths, make_moves, make_roots, plan_stages
from ..restore.selection import SYSTEM_TREE, Chooser, Selected, Wish, measure
from .confirmation import ask
from .damage import checksums_told, earlier_of, tell_issues
from .origin import Asked, board_config
from .output import answer, say
from .preparation import prepared_state, recover_command
from .restore_download import bars, expected_seconds, settle_unfinished

PATHS_TOLD = 10

# What the engine makes in an empty directory of volumes at its start.
MADE_BY_DOCKER = ("metadata.db", "backingFsBlockDev")


def in_place(
    arguments: argparse.Namespace,
    asked: Asked,
    seal: Seal,
    manifest: str,
    chooser: Chooser,
    selected: Selected,
) -> int:
    """Put a point, or a part of it, in place of the live data; the old data is kept aside."""
    config = board_config(asked)
    if chooser.wish.is_whole:
        # System files go over a board only when they are asked for.
        chooser = Chooser(Wish(trees=_live_trees(config, seal)), asked.sources)
        selected = measure(manifest, chooser)
    with RunLock(prepared_state(config).lock), guarded(recover_command(arguments)):
        log = RunLog("restore", [stream_handler(sys.stderr, logging.INFO)])
        recover_all(config, log)
        stages = plan_stages(manifest, chooser, config.sources, seal, chooser.wish, read_mounts())
        if arguments.blank:
            _check_blank(stages)
        _check_room(stages, seal)
        docker = DockerClient(config.containers.socket) if config.containers.enabled else None
        groups = plan_groups(config, docker, live_paths(stages)) if docker else []
        names = [member.name for group in groups for member in group.members]
        ask(arguments, *_announced(stages, chooser, seal, selected, names))
        settle_unfinished(asked, log, has_lock=True)
        started = time.monotonic()
        damaged = _download(
            asked, log, seal, manifest, chooser, selected, stages, arguments.accept_damaged
        )
        # Containers may have come and gone during the download.
        groups = plan_groups(config, docker, live_paths(stages)) if docker else []
        identifier = point_id(time.time())
        result = swap_in_place(
            config,
            docker,
            log,
            identifier=identifier,
            point=seal.id,
            moves=make_moves(stages, identifier),
            roots=make_roots(stages),
            stages=[stage.directory for stage in stages],
            groups=groups,
        )
        seconds = time.monotonic() - started
    _say_swapped(arguments, seal, stages, identifier, result, seconds, damaged)
    log.close()
    if not result.is_new:
        return EXIT_FAILED
    return EXIT_WARNINGS if log.warnings else EXIT_OK


def _live_trees(config: Config, seal: Seal) -> Tuple[str, ...]:
    trees = tuple(
        source.tree
        for source in config.sources
        if source.tree in seal.trees and source.tree != SYSTEM_TREE
    )
    if not trees:
        raise BackupError(
            f"{seal.id} holds no tree that belongs to a source of this host",
            "Restore it into a directory with --target",
        )
    return trees


def _check_blank(stages: Sequence[Stage]) -> None:
    for path in live_paths(stages):
        names = os.listdir(path) if os.path.isdir(path) and not os.path.islink(path) else []
        live = [name for name in names if name not in MADE_BY_DOCKER and not is_ours(name)]
        if live or (os.path.lexists(path) and not os.path.isdir(path)):
            raise BackupError(
                f"{path} holds live data ({', '.join(sorted(live)[:3]) or 'a file'}) and --blank "
                "replaces none",
                "To replace it (it is kept aside), leave out --blank; in the playbook: "
                "-e lepotato_backup_restore_over_data=true",
            )


def _check_room(stages: Sequence[Stage], seal: Seal) -> None:
    for stage in stages:
        if not os.path.isdir(stage.directory):
            needed = Selected(download_bytes=stage.download_bytes)
            check_free(os.path.dirname(stage.directory), seal, needed)


def _announced(
    stages: Sequence[Stage],
    chooser: Chooser,
    seal: Seal,
    selected: Selected,
    names: Sequence[str],
) -> List[str]:
    paths = live_paths(stages)
    more = f" and {len(paths) - PATHS_TOLD} more" if len(paths) > PATHS_TOLD else ""
    mounts = read_mounts()
    lines = [
        f"restore {chooser.wish.told()} of {seal.id} of {seal.host} in place",
        f"replaces {', '.join(paths[:PATHS_TOLD])}{more}; what is there now is kept aside",
        _amount_told(selected),
    ]
    for stage in stages:
        above = os.path.dirname(stage.directory)
        mount = mount_holding(above, mounts)
        status = os.statvfs(above)
        lines.append(
            f"{human_bytes(stage.download_bytes)} on {mount.mount_point if mount else '/'}, where "
            f"{human_bytes(status.f_bavail * status.f_frsize)} are free"
        )
    stops = f"stops for the swap: {', '.join(names)}" if names else "no running container uses it"
    return [*lines, stops]


def _amount_told(selected: Selected) -> str:
    return (
        f"{selected.files} files, {human_bytes(selected.bytes)}; about "
        f"{human_seconds(expected_seconds(selected))} at 100 Mbit/s"
    )


def _download(
    asked: Asked,
    log: RunLog,
    seal: Seal,
    manifest: str,
    chooser: Chooser,
    selected: Selected,
    stages: Sequence[Stage],
    accept_damaged: bool,
) -> int:
    """Bring and check all of it; returns how many damaged entries were accepted."""
    damaged = 0
    for stage in stages:
        check_target(stage.directory, seal, chooser.wish)
        select = _both(select_below(*(unit.entry.path for unit in stage.units)), chooser)
        with bars(selected) as watchers:
            result = restore_point(
                asked.download,
                log,
                seal,
                manifest,
                stage.directory,
                wish=chooser.wish,
                select=select,
                watchers=watchers,
                accept_damaged=accept_damaged,
                earlier=earlier_of(asked, seal, stage.directory, log),
            )
        tell_issues(log, result)
        damaged += result.applied.problems_total
    return damaged


def _both(one: Select, other: Select) -> Select:
    return lambda path: one(path) and other(path)


def _say_swapped(
    arguments: argparse.Namespace,
    seal: Seal,
    stages: Sequence[Stage],
    identifier: str,
    result: SwapResult,
    seconds: float,
    damaged: int,
) -> None:
    told: Dict[str, Any] = {
        "id": identifier,
        "point": seal.id,
        "in_place": result.is_new,
        "paths": live_paths(stages),
        "stopped": list(result.stopped),
        "down_seconds": round(result.down_seconds, 1) if result.stopped else 0.0,
        "problems": list(result.problems),
        "damaged": damaged,
        "aside": list(result.aside),
    }
    if arguments.json:
        answer(told)
        return
    for problem in result.problems:
        say(problem)
    if not result.is_new:
        say(
            f"the containers did not get healthy on {seal.id}: the data from before is back in "
            "place and they run on it"
        )
        for path in result.aside:
            say(f"  the restored data is in {path}, for a look")
        return
    down = f"; {', '.join(result.stopped)} down for {result.down_seconds:.1f} s"
    say(
        f"restored {seal.id} in place in {human_seconds(seconds)}, {checksums_told(damaged)}"
        f"{down if result.stopped else ''}"
    )
    for path in result.aside:
        say(f"  what was there before: {path}")
    if result.aside:
        say(f"  when all is well: lepotato-backup restore --forget-replaced {identifier}")
