# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be sent to a second destination that one of several nights left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Tuple

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.second.upload import Difference

SECOND_NS = 10**9

Files = Dict[str, Tuple[bytes, int]]


def manifest(directory: Path, name: str, files: Files) -> str:
    """The manifest of a night whose *files* have a content and a time in seconds."""
    tree = directory / name / "t"
    tree.mkdir(parents=True)
    for file, (data, seconds) in files.items():
        (tree / file).write_bytes(data)
        os.utime(tree / file, ns=(seconds * SECOND_NS, seconds * SECOND_NS))
    path = str(directory / f"{name}.gz")
    write_manifest(directory / name, path)
    return path


def told(difference: Difference) -> Tuple[List[str], List[str], List[str]]:
    """What is certain, likely and gone."""
    difference.settle()
    return tuple(  # type: ignore[return-value]  # of three
        [name.decode() for name in names]
        for names in (difference.certain, difference.likely, difference.gone)
    )


def test_after_a_sealed_night_the_difference_is_certain(tmp_path: Path) -> None:
    before = manifest(tmp_path, "1", {"same": (b"s", 1), "gone": (b"g", 1), "new": (b"a", 1)})
    after = manifest(tmp_path, "2", {"same": (b"s", 1), "new": (b"b", 2), "added": (b"a", 1)})
    with Difference() as difference:
        difference.add(before, after, may_be_sent=False)
        assert told(difference) == (["t/added", "t/new"], [], ["t/gone"])


def test_what_an_interrupted_night_may_have_sent_is_likely(tmp_path: Path) -> None:
    before = manifest(tmp_path, "1", {"kept": (b"1", 1), "twice": (b"1", 1), "late": (b"1", 1)})
    interrupted = manifest(
        tmp_path,
        "2",
        {"kept": (b"2", 2), "twice": (b"2", 2), "late": (b"1", 1), "short": (b"2", 2)},
    )
    after = manifest(tmp_path, "3", {"kept": (b"2", 2), "twice": (b"3", 3), "late": (b"3", 3)})
    with Difference() as difference:
        difference.add(before, after, may_be_sent=True)
        difference.add(interrupted, after, may_be_sent=False)
        # What the interrupted night had as it is now may be there; the rest can't be.
        assert told(difference) == (["t/late", "t/twice"], ["t/kept"], ["t/short"])


def test_what_neither_size_nor_time_shows_is_certain(tmp_path: Path) -> None:
    before = manifest(tmp_path, "1", {"file": (b"1", 1)})
    after = manifest(tmp_path, "2", {"file": (b"2", 1)})
    with Difference() as difference:
        difference.add(before, after, may_be_sent=True)
        assert told(difference) == (["t/file"], [], [])
