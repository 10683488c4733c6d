# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk: what it reads, what it doesn't, and in which order it tells."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest import walk as manifest_walk
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.content import content_chunks
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.file import read_entries
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.hard_links import (
    LinkWindow,
    link_window,
    read_link_windows,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    Entry,
    ManifestError,
    sort_key,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import (
    WalkResult,
    walk_entries,
    write_manifest,
)

MTIME_NS = 1_600_000_000_000_000_001


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "daily"
    (root / "tree/a/inner").mkdir(parents=True)
    (root / "tree/a b").mkdir()
    (root / "tree/a.d").mkdir()
    (root / "tree/empty").mkdir()
    for name in ("tree/a/one", "tree/a/inner/two", "tree/a b/three", "tree/a.d/four", "tree/zero"):
        (root / name).write_text(name)
        os.utime(root / name, ns=(MTIME_NS, MTIME_NS))
    (root / "tree/link").symlink_to("a/one")
    return root


def again(tree: Path, windows: Tuple[LinkWindow, ...] = ()) -> WalkResult:
    """Describe the tree once more, with what the last manifest knows."""
    manifest = tree.parent / "manifest.gz"
    return write_manifest(tree, manifest, previous=manifest, windows=windows)


def test_order_is_the_manifests_and_repeatable(tree: Path) -> None:
    paths = [entry.path for entry in walk_entries(tree)]
    assert paths == sorted(paths, key=sort_key)
    assert paths[:4] == [b"tree", b"tree/a", b"tree/a/inner", b"tree/a/inner/two"]
    assert paths == [entry.path for entry in walk_entries(tree)]


def test_entries_say_what_the_file_system_says(tree: Path) -> None:
    (tree / "tree/zero").chmod(0o4751)
    found = {entry.path: entry for entry in walk_entries(tree)}
    zero = found[b"tree/zero"]
    assert (zero.type, zero.mode, zero.mtime_ns, zero.size) == ("file", 0o4751, MTIME_NS, 9)
    assert zero.sha256 == hashlib.sha256(b"tree/zero").hexdigest()
    assert found[b"tree/link"].target == b"a/one"
    assert found[b"tree/empty"].type == "directory"


def test_unchanged_files_are_not_read_again(tree: Path) -> None:
    first = again(tree)
    assert (first.hashed_files, first.reused_files) == (5, 0)
    assert "No such file" in first.previous_problem
    second = again(tree)
    assert (second.hashed_files, second.reused_files, second.previous_problem) == (0, 5, "")
    assert second.summary == first.summary


def test_a_changed_file_is_read_again(tree: Path) -> None:
    again(tree)
    # Same size, same mtime, same inode: only the ctime tells.
    (tree / "tree/zero").write_text("tree/ZERO")
    os.utime(tree / "tree/zero", ns=(MTIME_NS, MTIME_NS))
    assert again(tree).hashed_files == 1
    # A new inode with everything else the same.
    replacement = tree / "tree/new"
    replacement.write_text("tree/zer0")
    os.utime(replacement, ns=(MTIME_NS, MTIME_NS))
    replacement.rename(tree / "tree/zero")
    assert again(tree).hashed_files == 1


def test_a_damaged_previous_manifest_means_reading_everything(tree: Path) -> None:
    again(tree)
    manifest = tree.parent / "manifest.gz"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    result = again(tree)
    assert result.hashed_files == 5
    assert "is damaged" in result.previous_problem


def test_a_snapshot_inside_a_link_window_costs_no_reading(tree: Path) -> None:
    again(tree)
    windows = tree.parent / "windows.json"
    with link_window(str(windows)):
        (tree.parent / "weekly").mkdir()
        os.link(tree / "tree/zero", tree.parent / "weekly/zero")
    os.link(tree / "tree/a/one", tree.parent / "weekly/one")
    result = again(tree, tuple(read_link_windows(str(windows))))
    # Only the file that was linked outside the window.
    assert result.hashed_files == 1


def test_a_window_does_not_excuse_a_changed_mtime_or_size(tree: Path) -> None:
    again(tree)
    windows = tree.parent / "windows.json"
    with link_window(str(windows)):
        (tree / "tree/zero").write_text("longer than it was")
        os.utime(tree / "tree/a/one", ns=(1, 1))
    assert again(tree, tuple(read_link_windows(str(windows)))).hashed_files == 2


def test_hard_links_are_grouped_within_the_tree_only(tree: Path) -> None:
    os.link(tree / "tree/a/one", tree / "tree/z")
    os.link(tree / "tree/a/one", tree / "tree/a b/second")
    os.link(tree / "tree/zero", tree.parent / "outside")
    assert again(tree).hashed_files == 5
    found = {entry.path: entry for entry in read_entries(tree.parent / "manifest.gz")}
    links = {path: entry.link for path, entry in found.items() if entry.link is not None}
    assert links == {b"tree/z": b"tree/a/one", b"tree/a b/second": b"tree/a/one"}
    assert found[b"tree/z"].sha256 == found[b"tree/a/one"].sha256


def test_the_carrier_directory_is_left_out_at_the_top_only(tree: Path) -> None:
    for directory in (tree / ".carrier", tree / "tree/.carrier"):
        directory.mkdir()
        (directory / "file").write_text("x")
    paths = [entry.path for entry in walk_entries(tree)]
    assert b"tree/.carrier/file" in paths
    assert not [path for path in paths if path.startswith(b".carrier")]


def test_a_file_that_changes_while_it_is_read_is_a_problem(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_while_written(descriptor: int, buffer: bytearray) -> Iterator[Tuple[int, memoryview]]:
        yield from content_chunks(descriptor, buffer)
        with (tree / "tree/zero").open("a") as stream:
            stream.write("more")

    monkeypatch.setattr(f"{manifest_walk.__name__}.content_chunks", read_while_written)
    (tree / "tree/a").rename(tree.parent / "a")
    with pytest.raises(ManifestError, match=r"'tree/zero' .* changed while it was read"):
        write_manifest(tree, tree.parent / "manifest.gz")
    assert not (tree.parent / "manifest.gz").exists()


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="could not be described"):
        list(walk_entries(tmp_path / "nothing"))


def test_problems_can_be_heard_instead(tree: Path) -> None:
    problems: List[Tuple[bytes, str]] = []

    def hear(path: bytes, reason: str) -> None:
        problems.append((path, reason))

    found: List[Entry] = []
    for entry in walk_entries(tree, on_problem=hear):
        found.append(entry)
        if entry.path == b"tree/a":
            (tree / "tree/zero").unlink()
    assert problems == [(b"tree/zero", "No such file or directory")]
    assert b"tree/zero" not in [entry.path for entry in found]


def test_progress_knows_the_end(tree: Path) -> None:
    heard: List[manifest_walk.WalkProgress] = []
    write_manifest(tree, tree.parent / "manifest.gz", on_progress=heard.append)
    assert [progress.entries for progress in heard] == list(range(1, 13))
    assert {progress.entries_total for progress in heard} == {12}
    assert heard[-1].hashed_bytes == sum(
        path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()
    )
