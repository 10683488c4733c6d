# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture groups and the order within and between them.

Containers that share a mount or depend on each other are captured together, so that what
belongs together is copied at one moment; everything else is captured by itself, so that each
service is down for its own files only. Dependents stop first and start last.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from ..base.errors import ConfigError
from .container import Container

DEFAULT_PRIORITY = 0


@dataclass(frozen=True)
class Group:
    """Containers that are down together; *members* are in stop order."""

    name: str
    members: Tuple[Container, ...]


def dependencies(containers: Sequence[Container]) -> Dict[str, Set[str]]:
    """For each container's ID the IDs of those among *containers* that it needs.

    Compose services are looked up in the container's own project; one-off containers
    (``compose run``) serve nobody.
    """
    services: Dict[Tuple[str, str], List[str]] = {}
    for item in containers:
        if item.project and not item.oneoff:
            services.setdefault((item.project, item.service), []).append(item.id)
    found: Dict[str, Set[str]] = {}
    for item in containers:
        needed: Set[str] = set()
        for service in item.needs_services:
            needed.update(services.get((item.project, service), []))
        for name in item.needs_containers:
            needed.update(other.id for other in containers if other.is_called(name))
        needed.discard(item.id)
        found[item.id] = needed
    return found


def make_groups(
    containers: Sequence[Container],
    sources: Sequence[str],
    group_names: Mapping[str, str],
    priorities: Mapping[str, int],
) -> List[Group]:
    """Split what is to be stopped into groups, each in stop order.

    *sources* are real paths: only what is shared below them connects. *group_names* and
    *priorities* map IDs; containers of one named group belong together, and two differently
    named groups stay apart even where they share a mount. Raises :class:`ConfigError` when a
    container without a name would join two named groups.
    """
    needs = dependencies(containers)
    parent = {item.id: item.id for item in containers}

    def root(identity: str) -> str:
        while parent[identity] != identity:
            identity = parent[identity]
        return identity

    for one in containers:
        for other in containers:
            if one.id >= other.id:
                continue
            names = {group_names.get(one.id), group_names.get(other.id)} - {None}
            same_name = len(names) == 1 and one.id in group_names and other.id in group_names
            linked = (
                other.id in needs[one.id]
                or one.id in needs[other.id]
                or _may_be_linked(one, other)
                or _share_mount(one, other, sources)
            )
            if same_name or (linked and len(names) < 2):
                parent[root(other.id)] = root(one.id)

    members: Dict[str, List[Container]] = {}
    for item in containers:
        members.setdefault(root(item.id), []).append(item)
    groups = [_group(found, needs, group_names, priorities) for found in members.values()]
    return sorted(
        groups,
        key=lambda group: (
            min(priorities.get(item.id, DEFAULT_PRIORITY) for item in group.members),
            group.name,
        ),
    )


def stop_order(
    containers: Sequence[Container],
    needs: Mapping[str, Set[str]],
    priorities: Mapping[str, int],
) -> List[Container]:
    """Dependents before what they depend on; then lower priority, then the younger one.

    The age decides where nothing else is known: docker-compose 1.29 creates what a service
    depends on before the service. A circle is cut at its first container in that order.
    """
    left = sorted(containers, key=lambda item: item.name)
    left.sort(key=lambda item: item.created, reverse=True)
    left.sort(key=lambda item: priorities.get(item.id, DEFAULT_PRIORITY))
    ordered: List[Container] = []
    while left:
        needed = set().union(*(needs.get(item.id, set()) for item in left))
        free = next((item for item in left if item.id not in needed), left[0])
        left.remove(free)
        ordered.append(free)
    return ordered


def _may_be_linked(one: Container, other: Container) -> bool:
    # Together is safe where nobody knows; a group name separates them.
    unknown = one.needs_unknown or other.needs_unknown
    return unknown and bool(one.project) and one.project == other.project


def _share_mount(one: Container, other: Container, sources: Sequence[str]) -> bool:
    return any(
        _nested(a, b) and any(_nested(a, source) and _nested(b, source) for source in sources)
        for a in _writable(one)
        for b in _writable(other)
    )


def _writable(container: Container) -> Iterable[str]:
    return (path for mount in container.mounts if mount.writable for path in mount.sources)


def _nested(one: str, other: str) -> bool:
    return os.path.commonpath([one, other]) in (one, other)


def _group(
    found: Sequence[Container],
    needs: Mapping[str, Set[str]],
    group_names: Mapping[str, str],
    priorities: Mapping[str, int],
) -> Group:
    named = {group_names[item.id] for item in found if item.id in group_names}
    ordered = stop_order(found, needs, priorities)
    if len(named) > 1:
        unnamed = [item.name for item in ordered if item.id not in group_names]
        raise ConfigError(
            f"the capture groups {' and '.join(sorted(named))} are connected by "
            f"{', '.join(unnamed)}",
            "Give the latter a group too (label lepotato.backup.group)",
        )
    # What everything else in the group depends on is what people know it by.
    return Group(named.pop() if named else ordered[-1].name, tuple(ordered))
