# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a change that users may see comes with a changelog fragment."""

from __future__ import annotations

from pathlib import Path

import yaml

from ..shell import ToolError, run
from .stage import Skip

VISIBLE = ("plugins", "roles", "playbooks")
CHANGELOG = "changelogs/changelog.yaml"
FRAGMENTS = "changelogs/fragments"
TAGS = ("[0-9]*", "v[0-9]*")
SHOWN_NAMES = 5


def missing_fragment(root: Path) -> str:
    """Return what to do when the checkout *root* lacks a fragment, "" when it doesn't.

    Looked at are all changes since the last release, and those of the branch since it left
    the origin's main branch, where there is one: another change's fragment is not its own.
    What is not committed yet counts.

    Raises:
        Skip: the history is not there to be asked.
    """
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        raise Skip("no whole git history here to compare with: git fetch --unshallow")
    for since, base in (("the last release", _release(root)), ("the main branch", _fork(root))):
        changed = _changed(root, base, *VISIBLE) if base else []
        if changed and not _has_news(root, base):
            return _advice(since, changed)
    return ""


def _release(root: Path) -> str:
    """Return the commit of the last release: a tag, or the changelog that was made later."""
    written = _git(root, "log", "-1", "--format=%H", "--", CHANGELOG)
    patterns = [f"--match={pattern}" for pattern in TAGS]
    tag = _git(root, "describe", "--tags", "--abbrev=0", *patterns)
    tagged = _git(root, "rev-list", "-1", tag) if tag else ""
    if not tagged or not written:
        return tagged or written
    return written if _git(root, "merge-base", tagged, written) == tagged else tagged


def _fork(root: Path) -> str:
    """Return where this branch left the origin's main one; "" where no such one is known."""
    return _git(root, "merge-base", "HEAD", "refs/remotes/origin/HEAD")


def _has_news(root: Path, base: str) -> bool:
    """Tell whether a fragment came since *base*, or a release is being made of them."""
    if _changed(root, base, CHANGELOG):
        return True
    return any(
        name.endswith((".yml", ".yaml")) and yaml.safe_load((root / name).read_text())
        for name in _changed(root, base, FRAGMENTS)
        if (root / name).exists()
    )


def _changed(root: Path, base: str, *paths: str) -> list[str]:
    """Return what differs from *base* in the work tree, files unknown to git among them."""
    told = [
        run(["git", "diff", "--name-only", "-z", base, "--", *paths], cwd=root).stdout,
        run(
            ["git", "ls-files", "-z", "--others", "--exclude-standard", "--", *paths], cwd=root
        ).stdout,
    ]
    return sorted(set("".join(told).split("\0")) - {""})


def _advice(since: str, changed: list[str]) -> str:
    shown = ", ".join(changed[:SHOWN_NAMES])
    more = f" and {len(changed) - SHOWN_NAMES} more" if len(changed) > SHOWN_NAMES else ""
    return (
        f"no changelog fragment, although {shown}{more} changed since {since}\n"
        f"Add {FRAGMENTS}/<what changed>.yml with one sentence for the users:\n"
        "    bugfixes:\n"
        "      - agent - start the services again when the disk is full.\n"
        "Other sections are in changelogs/config.yaml. Where users can't notice the change, "
        "use the section `trivial`, which no release prints."
    )


def _git(root: Path, *arguments: str) -> str:
    """Return git's answer; "" when it has none."""
    try:
        done = run(["git", *arguments], cwd=root, check=False)
    except ToolError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
