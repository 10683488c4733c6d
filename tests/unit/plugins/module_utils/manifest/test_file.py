# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifest files: whole or refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.file import (
    ManifestReader,
    ManifestWriter,
    check_manifest,
    read_entries,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    DIRECTORY,
    FILE,
    Entry,
    ManifestError,
)

DIGEST = "0123456789abcdef" * 4
ENTRIES = [
    Entry(b"tree", DIRECTORY, 0o755, 0, 0, 1),
    Entry(b"tree/a", FILE, 0o644, 1, 2, 3, size=10, sha256=DIGEST),
    Entry(b"tree/b", FILE, 0o644, 1, 2, 3, size=10, sha256=DIGEST, link=b"tree/a"),
    Entry(b"tree/c\xff", FILE, 0o644, 1, 2, 3, size=5, sha256=DIGEST),
]


def write_entries(path: Path, entries: List[Entry]) -> None:
    with ManifestWriter(path, {"host": "potato"}) as writer:
        for entry in entries:
            writer.write(entry)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.gz"
    write_entries(path, ENTRIES)
    return path


def lines_of(path: Path) -> List[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def rewrite(path: Path, lines: List[bytes]) -> None:
    path.write_bytes(gzip.compress(b"".join(lines)))


def test_round_trip(manifest: Path) -> None:
    assert list(read_entries(manifest)) == ENTRIES
    with ManifestReader(manifest) as reader:
        assert reader.header["host"] == "potato"
    summary = check_manifest(manifest)
    assert (summary.entries, summary.content_files, summary.content_bytes) == (4, 2, 15)
    assert summary.types == {"directory": 1, "file": 3}
    assert manifest.stat().st_mode & 0o777 == 0o600


def test_the_same_entries_give_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    again = tmp_path / "another name.gz"
    write_entries(again, ENTRIES)
    assert again.read_bytes() == manifest.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([manifest, again])


def test_an_empty_manifest_is_one(tmp_path: Path) -> None:
    with ManifestWriter(tmp_path / "empty.gz"):
        pass
    assert check_manifest(tmp_path / "empty.gz").entries == 0


def test_a_file_cut_anywhere_is_recognised(manifest: Path) -> None:
    whole = manifest.read_bytes()
    for length in range(len(whole)):
        manifest.write_bytes(whole[:length])
        with pytest.raises(ManifestError):
            check_manifest(manifest)


def test_a_flipped_bit_anywhere_is_recognised(manifest: Path) -> None:
    whole = manifest.read_bytes()
    summary = check_manifest(manifest)
    for position in range(len(whole)):
        manifest.write_bytes(
            whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :]
        )
        try:
            found = check_manifest(manifest)
        except ManifestError:
            continue
        # Some bits of gzip's header and padding mean nothing: the content is what it was.
        assert found == summary


def test_lines_lost_added_swapped_or_changed_are_recognised(manifest: Path) -> None:
    lines = lines_of(manifest)
    header, middle, footer = lines[:1], lines[1:-1], lines[-1:]
    for wrong in (
        header + middle,
        header + footer,
        header + middle[:-1] + footer,
        header + middle[::-1] + footer,
        header + middle[:1] + middle + footer,
        header + middle + footer + footer,
        [*header, *middle, *footer, b"x"],
        header + [line.replace(b'"uid":1', b'"uid":0') for line in middle] + footer,
        [lines[0].replace(b"potato", b"tomato")] + middle + footer,
        middle + footer,
        [],
    ):
        rewrite(manifest, wrong)
        with pytest.raises(ManifestError):
            check_manifest(manifest)


def test_another_version_says_so(manifest: Path) -> None:
    lines = lines_of(manifest)
    rewrite(manifest, [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]])
    with pytest.raises(ManifestError, match="format version 2, this program reads 1"):
        check_manifest(manifest)


def test_something_else_is_no_manifest(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"plain text\n")
    with pytest.raises(ManifestError, match="is damaged"):
        check_manifest(other)
    rewrite(other, [b'{"format":"tar"}\n'])
    with pytest.raises(ManifestError, match="is not a manifest"):
        check_manifest(other)


def test_a_failed_writer_leaves_the_old_file_and_nothing_beside_it(manifest: Path) -> None:
    before = manifest.read_bytes()
    for wrong in (ENTRIES[::-1], [ENTRIES[0], ENTRIES[0]]):
        with pytest.raises(ManifestError, match="out of order"):
            write_entries(manifest, wrong)
    assert manifest.read_bytes() == before
    assert list(manifest.parent.iterdir()) == [manifest]
