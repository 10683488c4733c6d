# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents' links lead somewhere, in a checkout and in what Galaxy distributes."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tools.checks.tree import tracked_files
from tools.paths import CHECKOUT

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
PAGE = re.compile(r"docs/[^/]+\.md")
IGNORED = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())["build_ignore"]
FILES = tracked_files()
ARCHITECTURE = "docs/architecture.md"
CODE = re.compile(r"`([^`]+)`")
# A path of the checkout or of the logic: a folder ends with a slash. Others lie on the board.
PATH = re.compile(r"(?!STAGING|daily/)[\w.-]+(/[\w.-]+)*(/|\.(py|md|yml|j2|toml|txt|svg))")
NAME = re.compile(r"[A-Za-z]\w*_\w+|[A-Z]\w+(\.\w+)?")
LOGIC = "plugins/module_utils/"


def is_distributed(name: str) -> bool:
    parts = name.split("/")
    paths = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return not any(fnmatch(path, pattern) for path in [*paths, *parts] for pattern in IGNORED)


def anchors(path: Path) -> set[str]:
    headings = HEADING.findall(path.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = [name for name in FILES if name.endswith(".md") and is_distributed(name)]


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/restore.md", "roles/agent/README.md"} < set(PAGES)
    assert "tests/b2_standin/README.md" not in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_is_distributed(page: str) -> None:
    wrong = []
    for link in LINK.findall((CHECKOUT / page).read_text()):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        path = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        target = str(path.resolve().relative_to(CHECKOUT))
        is_there = target in FILES and is_distributed(target)
        if not is_there or (anchor and anchor not in anchors(path)):
            wrong.append(link)
    assert wrong == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(LINK.findall((CHECKOUT / "README.md").read_text()))
    pages = {name for name in FILES if name.endswith("/README.md") or PAGE.fullmatch(name)}
    assert {page for page in pages if is_distributed(page)} <= linked


def places_of(named: str) -> list[Path]:
    """The files that a path of the page means: one, those of a folder, or none."""
    found = [
        name
        for name in FILES
        for path in (named, LOGIC + named)
        if name == path or (path.endswith("/") and name.startswith(path))
    ]
    return [CHECKOUT / name for name in found]


def test_every_path_of_the_architecture_exists() -> None:
    words = CODE.findall((CHECKOUT / ARCHITECTURE).read_text())
    paths = {word for word in words if PATH.fullmatch(word) and word != "__init__.py"}
    assert len(paths) > 100
    assert {path for path in paths if not places_of(path)} == set()


def test_every_name_of_the_architecture_is_in_a_file_beside_it() -> None:
    wrong = []
    checked = 0
    for line in (CHECKOUT / ARCHITECTURE).read_text().splitlines():
        words = CODE.findall(line)
        files = [path for word in words if PATH.fullmatch(word) for path in places_of(word)]
        texts = [path.read_text(errors="replace") for path in files if path.suffix != ".svg"]
        for name in (word for word in words if NAME.fullmatch(word)):
            checked += 1
            if not any(part in text for part in [name.rpartition(".")[2]] for text in texts):
                wrong.append(f"{name}: {line[:60]}")
    assert checked > 10
    assert wrong == []


def test_every_package_is_named_in_the_architecture() -> None:
    text = (CHECKOUT / ARCHITECTURE).read_text()
    packages = {
        name.split("/")[2] for name in FILES if name.startswith(LOGIC) and name.count("/") > 2
    }
    assert {package for package in packages if f"`{package}/" not in text} == set()
