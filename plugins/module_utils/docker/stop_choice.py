# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers a capture stops, which it leaves running, and why.

A container is stopped when one of its writable mounts touches a source, or when it depends on
one that is stopped: a service whose database goes away under it may end and stay ended.
Reading can't spoil a copy, so a read-only mount stops nothing unless the caller asks for readers
too (a restore moves the data away under them).
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from typing import (
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

from ..base.errors import ConfigError
from ..base.paths import is_below
from ..config.schema import Containers, Dump
from .container import Container
from .groups import dependencies

# The engine mounts files of its own below containers/ID/ into every container.
_OWN_ID = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\b")

T = TypeVar("T")


class Kept(NamedTuple):
    """A container that touches a source and keeps running; *reason* says why."""

    container: Container
    reason: str


class PlannedDump(NamedTuple):
    """A dump and the container it is made in."""

    container: Container
    dump: Dump


@dataclass(frozen=True)
class Selection:
    """What to stop, what stays, which dumps to make; *warnings* are for the run record."""

    stop: Tuple[Container, ...]
    kept: Tuple[Kept, ...]
    dumps: Tuple[PlannedDump, ...]
    warnings: Tuple[str, ...]


def own_container_id(mountinfo_path: str = "/proc/self/mountinfo") -> str:
    """The ID of the container that this program runs in, "" on a host."""
    try:
        with open(mountinfo_path, encoding="utf-8", errors="surrogateescape") as stream:
            match = _OWN_ID.search(stream.read())
    except OSError:
        return ""
    return match.group(1) if match else ""


def select(
    containers: Sequence[Container],
    settings: Containers,
    source_paths: Iterable[str],
    *,
    own_id: str = "",
    readers_too: bool = False,
) -> Selection:
    """Choose what to stop among *containers* (all of them, stopped ones too).

    Raises :class:`ConfigError` for a configured name that no container has, and for settings that
    contradict each other.
    """
    _check_names(containers, settings)
    sources = tuple(os.path.realpath(path) for path in source_paths)
    active = [container for container in containers if container.is_active]
    wanted = {
        item.id
        for item in active
        if _wish(item, settings) == "true"
        or (_wish(item, settings) is None and touches(item, sources, readers_too))
    }
    dumps, warnings = _planned_dumps(containers, settings)
    dumped = {planned.container.id for planned in dumps}
    kept: List[Kept] = []
    for item in active:
        reason = _cannot_stop(item, own_id)
        if item.id in wanted and reason:
            wanted.remove(item.id)
            kept.append(Kept(item, reason))
            if item.id != own_id:
                warnings.append(f"{item.name} is copied while it runs: {reason}")
    _add_dependents(active, wanted, settings, own_id)

    stop: List[Container] = []
    for item in containers:
        if item.id in wanted:
            stop.append(item)
        elif item.is_active and _wish(item, settings) == "never":
            kept.append(Kept(item, "it is never to be stopped"))
            if item.id not in dumped and touches(item, sources):
                warnings.append(
                    f"{item.name} is never to be stopped and has no dump: "
                    "its copy may not be consistent"
                )
        elif item.status == "paused" and touches(item, sources):
            kept.append(Kept(item, "it is paused and stays so"))
    return Selection(tuple(stop), tuple(kept), tuple(dumps), tuple(warnings))


def touches(container: Container, sources: Sequence[str], readers_too: bool = False) -> bool:
    """Whether a mount of *container* overlaps one of *sources* (real paths)."""
    return any(
        overlap(path, source)
        for mount in container.mounts
        if mount.writable or readers_too
        for path in mount.sources
        for source in sources
    )


def overlap(one: str, other: str) -> bool:
    """Whether one path is the other or lies below it."""
    return is_below(one, other) or is_below(other, one)


def named_value(container: Container, values: Mapping[str, T]) -> Optional[T]:
    """The value whose key means *container*, None without one."""
    for name, value in values.items():
        if container.is_called(name):
            return value
    return None


def stop_timeout_seconds(container: Container, settings: Containers) -> int:
    """Seconds before the engine kills: configured, by label, the container's own, the default."""
    for value in (
        named_value(container, settings.stop_timeouts),
        container.labels.stop_timeout_seconds,
        container.stop_timeout_seconds,
    ):
        if value is not None:
            return value
    return settings.stop_timeout_seconds


def _wish(container: Container, settings: Containers) -> Optional[str]:
    """``true``, ``false``, ``never`` or None; the configuration has the last word."""
    for names, wish in (
        (settings.include, "true"),
        (settings.exclude, "false"),
        (settings.never_stop, "never"),
    ):
        if any(container.is_called(name) for name in names):
            return wish
    return container.labels.stop


def _add_dependents(
    active: Sequence[Container], wanted: Set[str], settings: Containers, own_id: str
) -> None:
    needs = dependencies(active)
    free = [
        item for item in active if _wish(item, settings) is None and not _cannot_stop(item, own_id)
    ]
    grown = True
    while grown:
        more = {item.id for item in free if needs[item.id] & wanted} - wanted
        wanted |= more
        grown = bool(more)


def _cannot_stop(container: Container, own_id: str) -> str:
    if container.id == own_id:
        return "this program runs in it"
    if container.removed_on_stop:
        return "it was started with --rm, and stopping it would remove it"
    if container.swarm_task:
        return "it is a swarm task, and the swarm would replace it"
    return ""


def _planned_dumps(
    containers: Sequence[Container], settings: Containers
) -> Tuple[List[PlannedDump], List[str]]:
    planned: List[PlannedDump] = []
    warnings: List[str] = []
    for item in containers:
        dumps = [dump for dump in settings.dumps if item.is_called(dump.container)]
        if not dumps and item.labels.dump is not None:
            dumps = [item.labels.dump]
        if not dumps or item.oneoff:
            continue
        if item.is_active or item.status == "paused":
            planned += [PlannedDump(item, dump) for dump in dumps]
        else:
            warnings.append(
                f"{item.name} is not running: no dump of it tonight, its files are copied at rest"
            )
    return planned, warnings


def _check_names(containers: Sequence[Container], settings: Containers) -> None:
    lists: Dict[str, Iterable[str]] = {
        "include": settings.include,
        "exclude": settings.exclude,
        "never_stop": settings.never_stop,
        "groups": settings.groups,
        "priorities": settings.priorities,
        "stop_timeouts": settings.stop_timeouts,
        "dumps": [dump.container for dump in settings.dumps],
    }
    for key, names in lists.items():
        for name in names:
            if not any(item.is_called(name) for item in containers):
                raise ConfigError(
                    f"containers.{key}: no container is called {name!r}{_guess(name, containers)}",
                    "Name a container, or PROJECT/SERVICE of its compose project",
                )
    for item in containers:
        wishes = [
            key
            for key in ("include", "exclude", "never_stop")
            if any(item.is_called(name) for name in lists[key])
        ]
        if len(wishes) > 1:
            raise ConfigError(
                f"container {item.name} is in containers.{' and containers.'.join(wishes)}",
                "Name it in one of them",
            )


def _guess(name: str, containers: Sequence[Container]) -> str:
    known = [item.name for item in containers]
    known += [f"{item.project}/{item.service}" for item in containers if item.project]
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
