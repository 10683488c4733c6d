# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/architecture.svg from the packages' imports and first sentences: make architecture."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.sax.saxutils import escape

from .layered import Layout, is_lane, place, reduced
from .paths import CHECKOUT
from .shell import ToolError

PICTURE = CHECKOUT / "docs" / "architecture.svg"
UTILS = "module_utils"

# What stands above the packages: folders and files of the checkout, and a sentence for each.
ANSIBLE = "Ansible's plugins"
BOARD = "lepotato-backup"
ABOVE = {
    ANSIBLE: (
        ("plugins/modules", "plugins/action", "plugins/filter"),
        "What the roles call: thin, no logic of their own.",
    ),
    BOARD: (("scripts/lepotato-backup",), "What cron and a person call on the board."),
}

WIDTH, GAP, ROW_GAP = 252, 22, 44
MARGIN = 18
HEAD_HEIGHT, LINE_HEIGHT, LINE_CHARS = 36, 17, 33
PORT = 22  # between two arrows at one box

STYLE = """\
.page { fill: #ffffff } .box { fill: #f2f6fb; stroke: #7e90a6 } .above { fill: #ffffff }
.name { fill: #0a4aa3; font-weight: 600; font-size: 17px } .says { fill: #1d2733 }
.way { fill: none; stroke: #5c6f86; stroke-width: 1.5 } .head { fill: #5c6f86 }
.above { stroke-dasharray: 5 4 }
text { font-family: "DejaVu Sans", Verdana, "Segoe UI", sans-serif; font-size: 13px }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .box { fill: #18212d; stroke: #5d7088 } .above { fill: #0d1117 }
.name { fill: #85beff } .says { fill: #dbe3ec } .way { stroke: #93a5bb } .head { fill: #93a5bb }
}"""


def packages(plugins: Path) -> dict[str, str]:
    """Return the packages of the logic, each with the sentence of its ``__init__.py``.

    Raises:
        ToolError: one has no sentence.
    """
    found = {}
    for path in sorted((plugins / UTILS).glob("*/__init__.py")):
        found[path.parent.name] = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        if not found[path.parent.name]:
            raise ToolError(f"{path}: a package needs a sentence that says what it is")
    return found


def imports(checkout: Path) -> dict[str, list[str]]:
    """Return which packages each package, and what stands above them, imports.

    Raises:
        ToolError: packages import each other in a ring.
    """
    names = packages(checkout / "plugins")
    graph = {}
    for name in names:
        files = sorted((checkout / "plugins" / UTILS / name).glob("*.py"))
        graph[name] = _imported(files, names, within=name)
    for name, (places, _sentence) in ABOVE.items():
        files = [file for place in places for file in _python_files(checkout / place)]
        graph[name] = _imported(files, names)
    _refuse_rings(graph)
    return graph


def picture(checkout: Path) -> str:
    """Return the drawing of a checkout's packages."""
    sentences = packages(checkout / "plugins")
    sentences.update({name: sentence for name, (_places, sentence) in ABOVE.items()})
    return _svg(place(reduced(imports(checkout)), WIDTH, GAP), sentences)


def main() -> int:
    """Write the drawing; 1 when the imports can't be drawn."""
    try:
        PICTURE.write_text(picture(CHECKOUT), encoding="utf-8")
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"{PICTURE.relative_to(CHECKOUT)} written")
    return 0


def _python_files(place: Path) -> list[Path]:
    return sorted(place.glob("*.py")) if place.is_dir() else [place]


def _imported(files: Sequence[Path], names: dict[str, str], within: str = "") -> list[str]:
    found = {name for file in files for name in _packages_in(file, within)}
    return sorted(found & set(names) - {within})


def _packages_in(file: Path, within: str) -> Iterator[str]:
    if file.suffix != ".py":  # a shell script with a line of Python in it
        yield from re.findall(rf"^from {UTILS}\.(\w+)", file.read_text(), re.MULTILINE)
        return
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # "from ..base import errors" in a package is module_utils.base.errors.
            above = {1: [UTILS, within], 2: [UTILS]}[node.level] if node.level else []
            stem = ".".join([*above, node.module or ""]).rstrip(".")
            modules = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            inside = re.search(rf"(?:^|\.){UTILS}\.(\w+)", module)
            if inside and not module.startswith("ansible."):
                yield inside[1]


def _refuse_rings(graph: dict[str, list[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring = " -> ".join(reversed(error.args[1]))
        raise ToolError(f"packages import each other in a ring: {ring}") from error


def _svg(layout: Layout, sentences: dict[str, str]) -> str:
    said = {name: _wrapped(sentence) for name, sentence in sentences.items()}
    bands = _bands(layout, said)
    wide = max(layout.centres[name] + WIDTH // 2 for name in said) + 2 * MARGIN
    tall = bands[-1][1] + 2 * MARGIN
    title = "The packages of the collection's logic: an arrow leads to what is imported"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}"',
        f'viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}">',
        f"<title>{title}</title>",
        "<!-- Made by tools/draw_architecture.py from the imports: make architecture -->",
        f"<style>\n{STYLE}\n</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"',
        'orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker>',
        f'<rect class="page" width="{wide}" height="{tall}" rx="10"/>',
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *_arrows(layout, bands),
    ]
    for items, band in zip(layout.rows, bands):
        for name in items:
            if not is_lane(name):
                lines += _box(name, said[name], layout.centres[name] - WIDTH // 2, band)
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _wrapped(sentence: str) -> list[str]:
    """As few lines as fit the box, of about one length."""
    tried = [
        textwrap.wrap(sentence, chars, break_on_hyphens=False)
        for chars in range(LINE_CHARS // 2, LINE_CHARS + 1)
    ]
    return min(tried, key=len)


def _bands(layout: Layout, said: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Where each row begins and ends: high enough for the longest sentence in it."""
    bands, top = [], 0
    for items in layout.rows:
        most = max(len(said[name]) for name in items if not is_lane(name))
        bands.append((top, top + HEAD_HEIGHT + most * LINE_HEIGHT))
        top = bands[-1][1] + ROW_GAP
    return bands


def _box(name: str, said: Sequence[str], left: int, band: tuple[int, int]) -> list[str]:
    kind = "box above" if name in ABOVE else "box"
    top, low = band
    lines = [
        f'<rect class="{kind}" x="{left}" y="{top}" width="{WIDTH}" height="{low - top}" rx="7"/>',
        f'<text class="name" x="{left + 12}" y="{top + 23}">{escape(name)}</text>',
    ]
    for number, text in enumerate(said):
        y = top + HEAD_HEIGHT + 6 + number * LINE_HEIGHT
        lines.append(f'<text class="says" x="{left + 12}" y="{y}">{escape(text)}</text>')
    return lines


def _arrows(layout: Layout, bands: Sequence[tuple[int, int]]) -> Iterator[str]:
    coming: dict[str, list[str]] = {item: [] for item in layout.edges}
    for item, targets in layout.edges.items():
        for target in targets:
            coming[target].append(item)
    for items, (top, low) in zip(layout.rows, bands):
        middle, next_top = low + ROW_GAP // 2, low + ROW_GAP
        for item in items:
            if is_lane(item):
                yield f'<path class="way" d="M{layout.centres[item]} {top}V{low}"/>'
            for target in layout.edges[item]:
                start = _port(item, target, layout.edges[item], layout)
                end = _port(target, item, coming[target], layout)
                marker = "" if is_lane(target) else ' marker-end="url(#head)"'
                yield (
                    f'<path class="way" d="M{start} {low}'
                    f'C{start} {middle} {end} {middle} {end} {next_top}"{marker}/>'
                )


def _port(item: str, other: str, others: Sequence[str], layout: Layout) -> int:
    """Where at *item* the arrow from or to *other* begins or ends: side by side, uncrossed."""
    if is_lane(item):
        return layout.centres[item]
    ordered = sorted(others, key=lambda one: (layout.centres[one], one))
    return layout.centres[item] + PORT * (2 * ordered.index(other) - len(ordered) + 1) // 2


if __name__ == "__main__":
    raise SystemExit(main())
