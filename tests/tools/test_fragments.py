# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a changelog fragment is demanded, with real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.checks.fragments import missing_fragment
from tools.checks.stage import Skip

IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "gc.auto=0")
FRAGMENT = "bugfixes:\n  - agent - start the services again.\n"


class Repository:
    """A collection with one release, whose changelog says so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write("plugins/modules/one.py", "ONE = 1\n")
        self.write("changelogs/fragments/.keep", "")
        self.commit("Begin")
        self.release()

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *IDENTITY, *arguments], cwd=self.root, check=True)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def release(self) -> None:
        """Do what antsibull-changelog release does: fragments become the changelog."""
        for path in self.root.glob("changelogs/fragments/*.yml"):
            path.unlink()
        changelog = self.root / "changelogs/changelog.yaml"
        told = changelog.read_text() if changelog.exists() else "releases:\n"
        self.write("changelogs/changelog.yaml", f"{told}  {len(told)}.0.0: {{}}\n")
        self.commit("Release")

    def change(self, name: str = "plugins/modules/one.py") -> None:
        path = self.root / name
        self.write(name, (path.read_text() if path.exists() else "") + "MORE = 1\n")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


def test_a_release_without_a_tag_is_a_beginning(repository: Repository) -> None:
    assert missing_fragment(repository.root) == ""


@pytest.mark.parametrize(
    "name", ["plugins/modules/one.py", "roles/agent/tasks/main.yml", "playbooks/site.yml"]
)
def test_a_visible_change_without_a_fragment_says_what_to_do(
    repository: Repository, name: str
) -> None:
    repository.change(name)
    repository.commit("Change")
    problem = missing_fragment(repository.root)
    assert problem.startswith(f"no changelog fragment, although {name} changed since")
    assert "Add changelogs/fragments/" in problem
    assert "`trivial`" in problem


def test_what_is_not_committed_counts(repository: Repository) -> None:
    repository.change("roles/new/tasks/main.yml")
    assert "roles/new/tasks/main.yml" in missing_fragment(repository.root)
    repository.write("changelogs/fragments/new.yml", FRAGMENT)
    assert missing_fragment(repository.root) == ""


@pytest.mark.parametrize("name", ["tests/unit/test_one.py", "docs/restore.md", "tools/demo.py"])
def test_what_users_do_not_get_needs_none(repository: Repository, name: str) -> None:
    repository.change(name)
    repository.commit("Change")
    assert missing_fragment(repository.root) == ""


@pytest.mark.parametrize("text", [FRAGMENT, "trivial:\n  - Rename a function.\n"])
def test_a_fragment_is_enough(repository: Repository, text: str) -> None:
    repository.change()
    repository.write("changelogs/fragments/one.yml", text)
    repository.commit("Change")
    assert missing_fragment(repository.root) == ""


@pytest.mark.parametrize(("name", "text"), [("one.yml", "---\n"), ("one.txt", FRAGMENT)])
def test_an_empty_or_misnamed_one_is_not(repository: Repository, name: str, text: str) -> None:
    repository.change()
    repository.write(f"changelogs/fragments/{name}", text)
    repository.commit("Change")
    assert missing_fragment(repository.root)


def test_a_release_settles_what_came_before(repository: Repository) -> None:
    repository.change()
    repository.write("changelogs/fragments/one.yml", FRAGMENT)
    repository.commit("Change")
    repository.release()
    assert missing_fragment(repository.root) == ""
    repository.change()
    repository.commit("Change again")
    assert missing_fragment(repository.root)


def test_a_release_that_is_being_made_has_no_fragments_any_more(repository: Repository) -> None:
    repository.change()
    repository.commit("Change")
    repository.write("changelogs/changelog.yaml", "releases: {}\n")
    assert missing_fragment(repository.root) == ""


def test_a_later_tag_is_the_release(repository: Repository) -> None:
    repository.change()
    repository.commit("Change")
    repository.git("tag", "1.0.1")
    assert missing_fragment(repository.root) == ""
    repository.git("tag", "-d", "1.0.1")
    repository.git("tag", "not-a-release")
    assert missing_fragment(repository.root)


def test_an_earlier_tag_is_not(repository: Repository) -> None:
    repository.git("tag", "1.0.0")
    repository.change()
    repository.write("changelogs/fragments/one.yml", FRAGMENT)
    repository.commit("Change")
    repository.release()
    repository.change()
    repository.commit("Change again")
    assert missing_fragment(repository.root)


def test_a_clone_without_tags_and_a_branch_of_it(repository: Repository, tmp_path: Path) -> None:
    """Somebody else's fragment on the main branch is none of this branch's."""
    repository.change()
    repository.write("changelogs/fragments/theirs.yml", FRAGMENT)
    repository.commit("Their change")
    clone = tmp_path / "clone"
    repository.git("clone", "-q", "--no-tags", repository.root.as_uri(), str(clone))
    assert missing_fragment(clone) == ""
    (clone / "plugins/modules/one.py").write_text("ONE = 2\n")
    assert "changed since the main branch" in missing_fragment(clone)
    (clone / "changelogs/fragments/mine.yml").write_text(FRAGMENT)
    assert missing_fragment(clone) == ""


def test_a_shallow_clone_is_skipped_and_not_called_right(
    repository: Repository, tmp_path: Path
) -> None:
    repository.change()
    repository.commit("Change")
    clone = tmp_path / "clone"
    repository.git("clone", "-q", "--depth", "1", repository.root.as_uri(), str(clone))
    with pytest.raises(Skip, match="git fetch --unshallow"):
        missing_fragment(clone)


def test_without_git_it_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(Skip, match="history"):
        missing_fragment(tmp_path)
