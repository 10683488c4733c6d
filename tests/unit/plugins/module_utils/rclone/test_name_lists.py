# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.rclone.name_lists import (
    Entry,
    iter_parts,
    modified_ms,
    read_listing,
    write_file_list,
)


def test_entries_are_read_one_at_a_time(tmp_path: Path) -> None:
    listing = tmp_path / "listing"
    listing.write_bytes(b'3,plain,T\n5,"with ""quotes"", and\nline",T\n7,caf\xe9,T\n')
    assert list(read_listing(str(listing))) == [
        Entry("plain", 3, "T"),
        Entry('with "quotes", and\nline', 5, "T"),
        Entry("caf\udce9", 7, "T"),
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("1970-01-01T00:00:00.000+00:00", 0),
        ("2026-11-23T03:30:14.356+02:00", 1_795_397_414_356),
        ("1969-12-31T23:59:59.999+00:00", -1),
        # rclone 1.60
        ("2026-11-23 01:30:14", 1_795_397_414_000),
        ("12026-11-23T03:30:14.356+02:00", None),
    ],
)
def test_times_are_read_to_the_millisecond(told: str, expected: int | None) -> None:
    assert modified_ms(told) == expected


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])]
)
def test_a_long_list_comes_in_parts(tmp_path: Path, count: int, sizes: list[int]) -> None:
    path = str(tmp_path / "list")
    names = [b"%d" % number for number in range(count)]
    assert write_file_list(path, names) == count
    seen: list[bytes] = []
    parts = []
    for part, size in iter_parts(path, names_max=4):
        parts.append(size)
        seen += Path(part).read_bytes().split(b"\n")[:-1]
    assert parts == sizes
    assert seen == names
    assert sorted(tmp_path.iterdir()) == [tmp_path / "list"]
