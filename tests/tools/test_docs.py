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
