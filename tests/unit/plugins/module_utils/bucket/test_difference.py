# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.bucket.difference import (
    iter_bucket_changes,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.travelling import (
    DELETE,
    UPLOAD,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.name_lists import Entry

MTIME_NS = 1_795_397_414_356_999_999
TOLD = "2026-11-23T01:30:14.356+00:00"
HELD = [Entry("tree/one", 1, TOLD), Entry("tree/two", 2, TOLD)]


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    tree = tmp_path / "daily/tree"
    tree.mkdir(parents=True)
    for name, data in (("one", b"1"), ("two", b"22")):
        (tree / name).write_bytes(data)
        os.utime(tree / name, ns=(MTIME_NS, MTIME_NS))
    (tree / "link").symlink_to("one")
    path = str(tmp_path / "manifest.jsonl.gz")
    write_manifest(tmp_path / "daily", path)
    return path


@pytest.mark.parametrize(
    ("listing", "changes"),
    [
        (HELD, []),
        (HELD[::-1], []),
        ([], [(UPLOAD, b"tree/one"), (UPLOAD, b"tree/two")]),
        (HELD[1:], [(UPLOAD, b"tree/one")]),
        ([HELD[0], Entry("tree/two", 3, TOLD)], [(UPLOAD, b"tree/two")]),
        (
            [HELD[0], Entry("tree/two", 2, "2026-11-23T01:30:14.358+00:00")],
            [(UPLOAD, b"tree/two")],
        ),
        # rclone 1.60 tells no more than this.
        ([HELD[0], Entry("tree/two", 2, "2026-11-23 01:30:14")], []),
        ([HELD[0], Entry("tree/two", 2, "2026-11-23 01:30:12")], [(UPLOAD, b"tree/two")]),
        ([HELD[0], Entry("tree/two", 2, "nonsense")], [(UPLOAD, b"tree/two")]),
        ([*HELD, Entry("tree/link", 1, TOLD)], [(DELETE, b"tree/link")]),
        ([*HELD, Entry("tree/z\udce9", 1, TOLD)], [(DELETE, b"tree/z\xe9")]),
    ],
)
def test_what_the_bucket_lacks_and_has_too_much(
    manifest: str, listing: list[Entry], changes: list[tuple[str, bytes]]
) -> None:
    assert list(iter_bucket_changes(listing, manifest)) == changes
