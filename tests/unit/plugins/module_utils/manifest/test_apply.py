# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying manifests that someone else wrote, and what stays in the target's bounds."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any, List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.apply import apply_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.file import ManifestWriter
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    DIRECTORY,
    FILE,
    SOCKET,
    SYMLINK,
    Entry,
    ManifestError,
    encode_entry,
    select_below,
)

EMPTY = hashlib.sha256().hexdigest()


def entry(path: bytes, kind: str, **fields: Any) -> Entry:
    """An entry that whoever runs the test may own."""
    sha256 = EMPTY if kind == FILE else ""
    mode = 0o700 if kind == DIRECTORY else 0o600
    owner = os.geteuid(), os.getegid()
    return Entry(path, kind, mode, *owner, 1_000_000_007, **{"sha256": sha256, **fields})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def manifest_of(target: Path, entries: List[Entry]) -> Path:
    path = target.with_name("manifest.gz")
    with ManifestWriter(path) as writer:
        for one in entries:
            writer.write(one)
    return path


def test_a_symlink_of_the_manifest_is_not_a_way_out(target: Path) -> None:
    outside = target.with_name("outside")
    outside.mkdir()
    (outside / "victim").touch()
    before = (outside / "victim").stat()
    manifest = manifest_of(
        target,
        [
            entry(b"way", SYMLINK, target=os.fsencode(outside)),
            entry(b"way/made", DIRECTORY),
            entry(b"way/victim", FILE),
            entry(b"wayward", FILE, link=b"way/victim"),
        ],
    )
    result = apply_manifest(manifest, target)
    assert {issue.path for issue in result.problems} == {b"way/made", b"way/victim", b"wayward"}
    assert {issue.reason for issue in result.problems} == {"Not a directory"}
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").stat() == before
    assert [path.name for path in target.iterdir()] == ["way"]


@pytest.mark.parametrize("path", ["../victim", "/etc/victim", "a/../../victim", ".carrier/victim"])
def test_unsafe_paths_change_nothing(target: Path, path: str) -> None:
    manifest = manifest_of(target, [entry(b"first", DIRECTORY)])
    fields = json.loads(encode_entry(entry(b"second", DIRECTORY)))
    fields["path"] = path
    lines = gzip.decompress(manifest.read_bytes()).splitlines(keepends=True)
    lines.insert(2, json.dumps(fields).encode() + b"\n")
    manifest.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(ManifestError, match="unsafe path"):
        apply_manifest(manifest, target)
    assert list(target.iterdir()) == []


def test_a_cut_manifest_changes_nothing(target: Path) -> None:
    manifest = manifest_of(target, [entry(b"first", DIRECTORY)])
    manifest.write_bytes(manifest.read_bytes()[:-1])
    with pytest.raises(ManifestError, match="is damaged"):
        apply_manifest(manifest, target)
    assert list(target.iterdir()) == []


def test_a_target_must_be_a_directory(target: Path) -> None:
    manifest = manifest_of(target, [])
    with pytest.raises(BackupError, match="No such file or directory"):
        apply_manifest(manifest, target / "missing")
    with pytest.raises(BackupError, match="Not a directory"):
        apply_manifest(manifest, manifest)


def test_directories_get_their_times_after_what_they_hold(target: Path) -> None:
    paths = [b"a", b"a/b", b"a/b/c", b"a/d"]
    manifest = manifest_of(target, [entry(path, DIRECTORY) for path in paths])
    assert apply_manifest(manifest, target).is_complete
    assert {path.stat().st_mtime_ns for path in target.rglob("*")} == {1_000_000_007}


def test_a_part_brings_the_directories_above_it_and_nothing_else(target: Path) -> None:
    manifest = manifest_of(
        target,
        [
            entry(b"a", DIRECTORY),
            entry(b"a/b", DIRECTORY),
            entry(b"a/b/c", DIRECTORY),
            entry(b"a/d", DIRECTORY),
            entry(b"e", DIRECTORY),
        ],
    )
    (target / "stray").mkdir()
    result = apply_manifest(manifest, target, select=select_below(b"a/b/c"))
    assert (result.entries, result.problems, result.extras) == (1, (), ())
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == [
        "a",
        "a/b",
        "a/b/c",
        "stray",
    ]
    assert (target / "a").stat().st_mtime_ns == 1_000_000_007


def test_sockets_are_counted_and_not_made(target: Path) -> None:
    result = apply_manifest(manifest_of(target, [entry(b"s", SOCKET)]), target)
    assert (result.sockets, result.problems, list(target.iterdir())) == (1, (), [])


def test_only_the_first_problems_are_listed_and_all_are_heard(target: Path) -> None:
    manifest = manifest_of(target, [entry(b"%04d" % number, FILE) for number in range(150)])
    heard: List[bytes] = []
    result = apply_manifest(manifest, target, on_problem=lambda path, _reason: heard.append(path))
    assert (result.problems_total, len(result.problems), len(heard)) == (150, 100, 150)


def test_a_leftover_of_an_interrupted_run_goes_unless_the_manifest_has_it(target: Path) -> None:
    left, mine = (f".lepotato-backup-apply-{digit * 32}" for digit in "ab")
    for name in (left, mine, ".lepotato-backup-apply"):
        (target / name).write_bytes(b"")
    empty = hashlib.sha256(b"").hexdigest()
    manifest = manifest_of(target, [entry(os.fsencode(mine), "file", size=0, sha256=empty)])
    result = apply_manifest(manifest, target)
    assert result.problems == ()
    assert result.extras == (b".lepotato-backup-apply",)
    assert sorted(os.listdir(target)) == [".lepotato-backup-apply", mine]
