# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a capture will stop, dump and copy: the plan, made before anything is touched."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from ..base.paths import is_below
from ..config.schema import Config, Source
from ..docker.container import Container, read_containers
from ..docker.engine import DockerClient
from ..docker.groups import dependencies, make_groups
from ..docker.stop_choice import (
    Kept,
    PlannedDump,
    Selection,
    named_value,
    own_container_id,
    select,
    stop_timeout_seconds,
)
from ..docker.stopped_set import StoppedEntry, boot_id

# The engine may be this much late with the kill at the end of a container's stop time-out.
STOP_MARGIN_SECONDS = 5.0


@dataclass(frozen=True)
class PlannedGroup:
    """One capture group: *members* in stop order, *paths* by tree, its dumps.

    *needs* and *timeouts_seconds* are by container ID.
    """

    name: str
    members: Tuple[Container, ...]
    needs: Mapping[str, Tuple[str, ...]]
    timeouts_seconds: Mapping[str, int]
    paths: Mapping[str, Tuple[str, ...]]
    dumps: Tuple[PlannedDump, ...]

    def entries(self) -> List[StoppedEntry]:
        """What goes into the set on disk right before the group is stopped."""
        boot, deadline = boot_id(), time.monotonic() + STOP_MARGIN_SECONDS
        entries = []
        for member in self.members:
            deadline += self.timeouts_seconds[member.id]
            entries.append(
                StoppedEntry(
                    id=member.id,
                    name=member.name,
                    group=self.name,
                    started_at=member.started_at,
                    stopped_at_seconds=time.time(),
                    stop_deadline_seconds=deadline,
                    boot_id=boot,
                    project=member.project,
                    service=member.service,
                    number=member.number,
                    needs=self.needs[member.id],
                    was_looping=member.looping,
                    was_unhealthy=member.unhealthy,
                )
            )
        return entries


@dataclass(frozen=True)
class Plan:
    """The groups in the order of their capture; *dumps* are those of containers in no group."""

    groups: Tuple[PlannedGroup, ...] = ()
    dumps: Tuple[PlannedDump, ...] = ()
    kept: Tuple[Kept, ...] = ()
    warnings: Tuple[str, ...] = ()


def make_plan(
    config: Config, docker: DockerClient, *, only: Sequence[str] = (), readers_too: bool = False
) -> Plan:
    """Ask the engine what runs and decide what to do with it.

    With *only*, paths to be concerned with in place of the configured sources. Raises
    :class:`ConfigError` for wrong labels and names, :class:`DockerError` when there is no answer.
    """
    containers = read_containers(docker.inspect_all(), docker.volumes())
    paths = only or [path for source in config.sources for path in source.paths]
    selection = select(
        containers,
        config.containers,
        paths,
        own_id=own_container_id(),
        readers_too=readers_too,
    )
    return plan_from(config, selection, paths)


def plan_from(config: Config, selection: Selection, paths: Sequence[str]) -> Plan:
    """The plan for a selection made over *paths*."""
    settings = config.containers
    group_names: Dict[str, str] = {}
    priorities: Dict[str, int] = {}
    for item in selection.stop:
        name = named_value(item, settings.groups) or item.labels.group
        if name:
            group_names[item.id] = name
        priority = named_value(item, settings.priorities)
        if priority is None:
            priority = item.labels.priority
        if priority is not None:
            priorities[item.id] = priority
    real = [os.path.realpath(path) for path in paths]
    needs = dependencies(selection.stop)
    groups = []
    for group in make_groups(selection.stop, real, group_names, priorities):
        identities = {member.id for member in group.members}
        groups.append(
            PlannedGroup(
                name=group.name,
                members=group.members,
                needs={one: tuple(sorted(needs[one] & identities)) for one in identities},
                timeouts_seconds={
                    member.id: stop_timeout_seconds(member, settings) for member in group.members
                },
                paths=group_paths(group.members, config.sources),
                dumps=tuple(dump for dump in selection.dumps if dump.container.id in identities),
            )
        )
    grouped = {member.id for group in groups for member in group.members}
    return Plan(
        groups=tuple(groups),
        dumps=tuple(dump for dump in selection.dumps if dump.container.id not in grouped),
        kept=selection.kept,
        warnings=selection.warnings,
    )


def group_paths(
    members: Iterable[Container], sources: Sequence[Source]
) -> Dict[str, Tuple[str, ...]]:
    """The parts of the sources that the containers write to, by tree, as source paths.

    A mount below a source gives that part of it, a mount above it the whole source.
    """
    mounted = [
        path
        for member in members
        for mount in member.mounts
        if mount.writable
        for path in mount.sources
    ]
    found: Dict[str, Tuple[str, ...]] = {}
    for source in sources:
        parts: List[str] = []
        for path in source.paths:
            real = os.path.realpath(path)
            for place in mounted:
                if is_below(real, place):
                    parts.append(path)
                elif is_below(place, real):
                    parts.append(os.path.join(path, os.path.relpath(place, real)))
        if parts:
            found[source.tree] = _outermost(parts)
    return found


def _outermost(paths: Iterable[str]) -> Tuple[str, ...]:
    kept: List[str] = []
    for path in sorted(set(paths)):
        if not any(is_below(path, other) for other in kept):
            kept.append(path)
    return tuple(kept)
