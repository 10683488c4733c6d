# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries, their order, and what a manifest may not say."""

from __future__ import annotations

import json
from typing import Any, List, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    BLOCK_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    SYMLINK,
    Entry,
    ManifestError,
    content_path,
    decode_entry,
    encode_entry,
    is_safe_path,
    merged,
    select_below,
    sort_key,
)

DIGEST = "0123456789abcdef" * 4


def entry(path: bytes, kind: str = FILE, **fields: Any) -> Entry:
    sha256 = DIGEST if kind == FILE else ""
    return Entry(path, kind, 0o644, 0, 0, 1, **{"sha256": sha256, **fields})


@pytest.mark.parametrize(
    "original",
    [
        entry(b"plain", size=7, inode=8, ctime_ns=9),
        entry(b"tree/new\nline \xff\xfe\x01\x7f \\ " + "é😀\u2028".encode(), size=1),
        entry(b"a" * 255 + b"/" + b"b" * 255, sparse=True, carrier=DIGEST),
        entry(b"b/member", link=b"a/leader \xff"),
        entry(b"d", DIRECTORY, xattrs=((b"user.\xff", b"\x00\xff"), (b"user.z", b""))),
        entry(b"l", SYMLINK, target=b"../\xff\n"),
        entry(b"p", FIFO)._replace(mode=0o7777, uid=4_294_967_294, mtime_ns=-1),
        entry(b"v", BLOCK_DEVICE, device=(4095, 1_048_575)),
    ],
    ids=lambda original: original.path[:10].decode("latin-1"),
)
def test_entries_survive_their_line_of_json(original: Entry) -> None:
    line = encode_entry(original)
    assert decode_entry(line) == original
    assert line.isascii()
    assert line.count(b"\n") == 1


def test_paths_sort_by_component_as_a_walk_visits_them() -> None:
    visited = [b"a", b"a/x", b"a/x/y", b"a/x\n", b"a\x01", b"a b", b"a-b", b"a.d", b"a0", b"\xff"]
    assert sorted(set(visited), key=sort_key) == visited


@pytest.mark.parametrize(
    "path", [b"", b"/etc/passwd", b"..", b"a/../b", b"a/..", b"./a", b"a//b", b"a/", b"a\0b"]
)
def test_unsafe_paths_are_refused_everywhere(path: bytes) -> None:
    assert not is_safe_path(path)
    for unsafe in (entry(path), entry(b"z", link=path)):
        with pytest.raises(ManifestError, match="not a manifest entry"):
            decode_entry(encode_entry(unsafe))


@pytest.mark.parametrize("path", [b"a", b"..a/...", b"-rf", b" ", b"a\\..\\b", b"\xff"])
def test_strange_paths_are_safe(path: bytes) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "door"},
        {"mode": "10000"},
        {"mode": 644},
        {"uid": -1},
        {"size": -1},
        {"sha256": "abc"},
        {"sha256": DIGEST.upper()},
        {"carrier": "../../etc/passwd"},
        {"path": ".carrier/x"},
        {"path": "lone high surrogate \ud800"},
        {"path": None},
        {"link": "zzz after its member"},
        {"type": "symlink"},
        {"type": "symlink", "target": ""},
        {"type": "block"},
        {"type": "block", "device": [1]},
        {"xattrs": {"user.x": "not base64!"}},
        {"xattrs": [1]},
    ],
    ids=repr,
)
def test_entries_that_no_walk_writes_are_refused(change: Any) -> None:
    fields = json.loads(encode_entry(entry(b"file")))
    fields.update(change)
    with pytest.raises(ManifestError, match="not a manifest entry"):
        decode_entry(json.dumps(fields).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b"null", b'{"path":"x"}', b"\xff"])
def test_lines_that_are_no_entries_are_refused(line: bytes) -> None:
    with pytest.raises(ManifestError, match="not a manifest entry"):
        decode_entry(line)


def test_content_travels_under_own_name_leader_or_carrier() -> None:
    assert content_path(entry(b"a")) == b"a"
    assert content_path(entry(b"b", link=b"a")) == b"a"
    assert content_path(entry(b"b", link=b"a", carrier=DIGEST)) == b".carrier/" + DIGEST.encode()


def test_merged_pairs_two_streams() -> None:
    left = [entry(b"a"), entry(b"a/b"), entry(b"c")]
    right = [entry(b"a"), entry(b"a b"), entry(b"c"), entry(b"d")]
    pairs: List[Tuple[bytes, bytes]] = [
        (one.path if one else b"", other.path if other else b"")
        for one, other in merged(left, right)
    ]
    assert pairs == [(b"a", b"a"), (b"a/b", b""), (b"", b"a b"), (b"c", b"c"), (b"", b"d")]


def test_select_below_accepts_paths_and_what_they_hold() -> None:
    select = select_below(b"a/b/", b"c")
    assert [path for path in (b"a", b"a/b", b"a/b/x", b"a/bc", b"c", b"cd") if select(path)] == [
        b"a/b",
        b"a/b/x",
        b"c",
    ]
