# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places of a layered drawing: what points down, in rows, with few crossings.

The same graph always gives the same places, on every machine: nothing here depends on the order
of a set or on a float's last bit (places are rounded to whole pixels).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

# name -> the names that it points to
Graph = Mapping[str, Sequence[str]]

RESTARTS = 20
SWEEPS = 12
PLACE_SWEEPS = 80
# How much straighter a lane wants to be than an arrow's ends.
LANE_WEIGHT = 4.0


@dataclass(frozen=True)
class Layout:
    """*rows* of items, top first; *edges* lead from a row to the next; *centres* are in pixels.

    An item is a name of the graph or a lane: where arrows to one name pass through a row.
    """

    rows: list[list[str]]
    edges: dict[str, list[str]]
    centres: dict[str, int]


def reduced(graph: Graph) -> dict[str, list[str]]:
    """Leave out each arrow beside which a longer way leads to the same name."""
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            below[name] = set()
            for other in graph[name]:
                below[name] |= {other} | reach(other)
        return below[name]

    return {
        name: sorted(
            other
            for other in set(graph[name])
            if not any(other in reach(between) for between in graph[name])
        )
        for name in graph
    }


def place(graph: Graph, width: int, gap: int) -> Layout:
    """Lay out an acyclic *graph* of boxes of one width."""
    rows, edges = _rows(graph)
    rows = _uncrossed(rows, edges)
    return Layout(rows, edges, _centres(rows, edges, width, gap))


def is_lane(item: str) -> bool:
    """Tell a lane from a name."""
    return "|" in item


def _rows(graph: Graph) -> tuple[list[list[str]], dict[str, list[str]]]:
    level: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in level:
            level[name] = 1 + max((depth(by) for by in graph if name in graph[by]), default=-1)
        return level[name]

    rows: list[list[str]] = [[] for _ in range(1 + max(depth(name) for name in graph))]
    edges: dict[str, list[str]] = {name: [] for name in graph}
    for name in sorted(graph):
        rows[level[name]].append(name)
    for name in sorted(graph):
        for target in graph[name]:
            # Arrows to one name share their lanes.
            way = [f"{target}|{row}" for row in range(level[name] + 1, level[target])]
            for lane in way:
                if lane not in edges:
                    edges[lane] = []
                    rows[int(lane.partition("|")[2])].append(lane)
            for upper, lower in pairwise([name, *way, target]):
                if lower not in edges[upper]:
                    edges[upper].append(lower)
    return rows, edges


def _uncrossed(rows: list[list[str]], edges: Graph) -> list[list[str]]:
    chance = random.Random(0)
    best, best_cost = rows, _cost(rows, edges)
    for _ in range(RESTARTS):
        tried = [chance.sample(row, len(row)) for row in rows]
        cost = _cost(tried, edges)
        for _ in range(SWEEPS):
            before = cost
            for row in tried:
                cost = _swap_neighbours(row, tried, edges, cost)
            if cost == before:
                break
        if cost < best_cost:
            best, best_cost = tried, cost
    return best


def _swap_neighbours(
    row: list[str], rows: list[list[str]], edges: Graph, cost: tuple[int, int]
) -> tuple[int, int]:
    for left in range(len(row)):
        for right in range(left + 1, len(row)):
            row[left], row[right] = row[right], row[left]
            swapped = _cost(rows, edges)
            if swapped < cost:
                cost = swapped
            else:
                row[left], row[right] = row[right], row[left]
    return cost


def _cost(rows: Iterable[Sequence[str]], edges: Graph) -> tuple[int, int]:
    """Crossings first, then how far arrows lead sideways (in halves, from the rows' middles)."""
    crossings = sideways = 0
    for upper, lower in pairwise(rows):
        place_of = {item: 2 * index - len(lower) for index, item in enumerate(lower)}
        ends = [
            (2 * index - len(upper), place_of[target])
            for index, item in enumerate(upper)
            for target in edges[item]
        ]
        sideways += sum(abs(start - end) for start, end in ends)
        crossings += sum(
            (one[0] - two[0]) * (one[1] - two[1]) < 0
            for number, one in enumerate(ends)
            for two in ends[:number]
        )
    return crossings, sideways


def _centres(rows: list[list[str]], edges: Graph, width: int, gap: int) -> dict[str, int]:
    half = {item: 0.0 if is_lane(item) else width / 2 for row in rows for item in row}
    near: dict[str, list[str]] = {item: list(edges[item]) for item in half}
    for item in half:
        for target in edges[item]:
            near[target].append(item)
    centres = {item: float(index * (width + gap)) for row in rows for index, item in enumerate(row)}
    for _ in range(PLACE_SWEEPS):
        for row in [*rows, *reversed(rows)]:
            wanted = [_wanted(item, near[item], centres) for item in row]
            steps = [half[left] + gap + half[right] for left, right in pairwise(row)]
            centres.update(zip(row, _apart(wanted, steps)))
    left = min(centres[item] - half[item] for item in half)
    return {item: round(centres[item] - left) for item in half}


def _wanted(item: str, near: Sequence[str], centres: Mapping[str, float]) -> float:
    if not near:
        return centres[item]
    weights = [LANE_WEIGHT if is_lane(item) and is_lane(other) else 1.0 for other in near]
    return sum(weight * centres[other] for weight, other in zip(weights, near)) / sum(weights)


def _apart(wanted: Sequence[float], steps: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones that keep the order and at least the *steps*."""
    offsets = [sum(steps[:index]) for index in range(len(wanted))]
    pools: list[tuple[float, int]] = []  # mean, members
    for want, offset in zip(wanted, offsets):
        mean, members = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean = (mean * members + other * count) / (members + count)
            members += count
        pools.append((mean, members))
    flat = [mean for mean, members in pools for _ in range(members)]
    return [mean + offset for mean, offset in zip(flat, offsets)]
