# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two trees differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.compare import (
    CHANGED,
    EXTRA,
    MISSING,
    Difference,
    changed_aspects,
    compare_tree,
    differences,
    entries_below,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
    Entry,
    ManifestError,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest


def entry(path: bytes, kind: str = FILE, **fields: Any) -> Entry:
    return Entry(path, kind, 0o644, 0, 0, 1, **fields)


def test_missing_extra_and_changed() -> None:
    expected = [entry(b"a"), entry(b"b"), entry(b"c", size=1), entry(b"s", SOCKET)]
    found = [entry(b"a"), entry(b"bb"), entry(b"c", size=2)]
    assert list(differences(expected, found)) == [
        Difference(b"b", MISSING),
        Difference(b"bb", EXTRA),
        Difference(b"c", CHANGED, ("size",)),
    ]


@pytest.mark.parametrize(
    ("change", "aspects"),
    [
        ({"type": FIFO, "mode": 0}, ("type",)),
        ({"mode": 0o4644}, ("mode",)),
        ({"uid": 1}, ("owner",)),
        ({"gid": 1}, ("owner",)),
        ({"mtime_ns": 2}, ("mtime",)),
        ({"size": 2, "sha256": "b"}, ("size", "content")),
        ({"sha256": ""}, ()),
        ({"link": b"a"}, ("links",)),
        ({"xattrs": ((b"user.a", b""),)}, ("xattrs",)),
        ({"inode": 7, "ctime_ns": 7, "sparse": True, "carrier": "c"}, ()),
    ],
)
def test_aspects(change: Any, aspects: Any) -> None:
    one = entry(b"f", sha256="a")
    assert changed_aspects(one, one._replace(**change)) == aspects


def test_modes_of_symlinks_mean_nothing() -> None:
    one = entry(b"l", SYMLINK, target=b"t")
    assert changed_aspects(one, one._replace(mode=0o777)) == ()
    assert changed_aspects(one, one._replace(target=b"u")) == ("target",)


def test_entries_below_lead_their_own_groups() -> None:
    entries = [
        entry(b"a"),
        entry(b"b"),
        entry(b"b/one", link=b"a"),
        entry(b"b/two", link=b"a"),
        entry(b"b/x"),
        entry(b"b/y", link=b"b/x"),
        entry(b"bb", link=b"a"),
    ]
    below = [(one.path, one.link) for one in entries_below(entries, b"b")]
    assert below == [(b"one", None), (b"two", b"one"), (b"x", None), (b"y", b"x")]
    assert list(entries_below(entries, b"")) == entries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "daily"
    (root / "tree/volume").mkdir(parents=True)
    for name in ("one", "two", "three"):
        (root / "tree/volume" / name).write_text(name)
    write_manifest(root, tmp_path / "manifest.gz")
    return root


def test_a_tree_is_compared_with_a_part_of_the_manifest(tree: Path) -> None:
    manifest = tree.parent / "manifest.gz"
    live = tree / "tree/volume"
    assert compare_tree(manifest, live, prefix=b"tree/volume").is_equal
    status = (live / "one").stat()
    (live / "one").write_text("ONE")
    os.utime(live / "one", ns=(status.st_atime_ns, status.st_mtime_ns))
    (live / "two").unlink()
    (live / "four").write_text("four")
    heard: List[Difference] = []
    result = compare_tree(manifest, live, prefix=b"tree/volume", on_difference=heard.append)
    assert result.differences == tuple(heard)
    assert heard == [
        Difference(b"four", EXTRA),
        Difference(b"one", CHANGED, ("content",)),
        Difference(b"two", MISSING),
    ]
    assert (result.entries, result.missing, result.extra, result.changed) == (3, 1, 1, 1)
    # Without reading, size and mtime are all that is compared.
    quick = compare_tree(manifest, live, prefix=b"tree/volume", read_content=False)
    assert (quick.missing, quick.extra, quick.changed) == (1, 1, 0)
    chosen = compare_tree(
        manifest, live, prefix=b"tree/volume", select=lambda path: path == b"three"
    )
    assert chosen.is_equal


def test_a_damaged_manifest_is_not_compared(tree: Path) -> None:
    manifest = tree.parent / "manifest.gz"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(ManifestError):
        compare_tree(manifest, tree)
