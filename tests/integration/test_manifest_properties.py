# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random trees survive, and a restore without root says what it could not do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.manifest_trees import (
    MIB,
    download_plainly,
    make_hostile_tree,
    needs_root,
    needs_tools,
    tree_differences,
)

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.apply import apply_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.carriers import plan_carriers
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.compare import compare_tree
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import (
    Entry,
    decode_entry,
    encode_entry,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest

COLLECTIONS = Path(__file__).resolve().parents[2] / ".collections"
MODULE_UTILS = Path("ansible_collections/lepotato/backup/plugins/module_utils")
# Nobody on Debian.
UNPRIVILEGED_ID = 65534

names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda data: data.replace(b"/", b"_").replace(b"\0", b"\n"))
    .filter(lambda name: name not in (b".", b".."))
) | st.sampled_from([b"a", b"a b", b"a.", b"caf\xc3\xa9", b"cafe\xcc\x81", b".carrier", b" "])
times_ns = st.integers(min_value=-(2**31) * 10**9, max_value=2**33 * 10**9)
identities = st.integers(min_value=0, max_value=2**32 - 2)


class Item(NamedTuple):
    """One entry of a random tree; *children* makes it a directory, *link_to* picks a file."""

    kind: str
    mode: int
    mtime_ns: int
    owner: Tuple[int, int]
    data: bytes
    link_to: int
    children: Optional[Dict[bytes, Item]]


def items(children: Optional[st.SearchStrategy[Dict[bytes, Item]]]) -> st.SearchStrategy[Item]:
    return st.builds(
        Item,
        kind=st.sampled_from(["file", "symlink", "fifo", "link"])
        if children is None
        else st.just("directory"),
        mode=st.integers(min_value=0, max_value=0o7777),
        mtime_ns=times_ns,
        owner=st.tuples(identities, identities),
        data=st.binary(max_size=50),
        link_to=st.integers(min_value=0, max_value=9),
        children=st.none() if children is None else children,
    )


trees: st.SearchStrategy[Dict[bytes, Item]] = st.dictionaries(
    names,
    st.recursive(
        items(None), lambda inner: items(st.dictionaries(names, inner, max_size=4)), max_leaves=12
    ),
    max_size=5,
)


def build(directory: bytes, tree: Dict[bytes, Item], files: List[bytes]) -> None:
    for name, item in tree.items():
        path = directory + b"/" + name
        if item.children is not None:
            os.mkdir(path)
            build(path, item.children, files)
        elif item.kind == "symlink":
            os.symlink(item.data.replace(b"\0", b"x") or b"x", path)
        elif item.kind == "fifo":
            os.mkfifo(path)
        elif item.kind == "link" and files:
            os.link(files[item.link_to % len(files)], path)
        else:
            Path(os.fsdecode(path)).write_bytes(item.data)
            files.append(path)
        os.chown(path, *item.owner, follow_symlinks=False)
        if not os.path.islink(path):
            os.chmod(path, item.mode)
        os.utime(path, ns=(0, item.mtime_ns), follow_symlinks=False)


@needs_root
@needs_tools
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(tree=trees)
def test_random_trees_come_back_identical(tree: Dict[bytes, Item]) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "source"), Path(name, "target")
        for directory in (source / "tree", source / "second", target):
            directory.mkdir(parents=True)
        build(os.fsencode(source / "tree"), tree, [])
        manifest = Path(name, "manifest.gz")
        write_manifest(source, manifest)
        plan_carriers(source, manifest)
        download_plainly(source, manifest, target)
        result = apply_manifest(manifest, target)
        assert (result.problems, result.warnings, result.extras) == ((), (), ())
        assert tree_differences(source, target) == []
        assert compare_tree(manifest, target).differences == ()


paths = st.lists(names.filter(lambda name: name != b".carrier"), min_size=1, max_size=5).map(
    b"/".join
)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    entry=st.builds(
        Entry,
        path=paths,
        type=st.just("file"),
        mode=st.integers(min_value=0, max_value=0o7777),
        uid=identities,
        gid=identities,
        mtime_ns=times_ns,
        size=st.integers(min_value=0, max_value=2**63 - 1),
        sha256=digests,
        target=st.none(),
        link=st.none(),
        device=st.none(),
        xattrs=st.dictionaries(
            st.binary(min_size=1, max_size=255), st.binary(max_size=100), max_size=3
        ).map(lambda pairs: tuple(sorted(pairs.items()))),
        carrier=st.just("") | digests,
        sparse=st.booleans(),
        inode=st.integers(min_value=0, max_value=2**64 - 1),
        ctime_ns=times_ns,
    )
)
def test_random_entries_survive_their_line(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


APPLY_AS_SOMEBODY = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.apply import apply_manifest
os.setgroups([])
os.setgid(int(sys.argv[4]))
os.setuid(int(sys.argv[4]))
result = apply_manifest(sys.argv[2], sys.argv[3])
print(json.dumps({
    "problems": [[issue.path.decode("latin-1"), issue.reason] for issue in result.problems],
    "warnings": [issue.reason for issue in result.warnings],
    "verified": result.verified_files,
}))
"""


@needs_root
@needs_tools
def test_without_root_the_data_comes_back_and_the_rest_is_listed() -> None:
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o711)
        source, target, manifest = base / "source", base / "target", base / "manifest.gz"
        source.mkdir()
        target.mkdir()
        make_hostile_tree(source, small_files=10, sparse_bytes=4 * MIB)
        write_manifest(source, manifest)
        plan_carriers(source, manifest)
        download_plainly(source, manifest, target)
        somebody = f"{UNPRIVILEGED_ID}:{UNPRIVILEGED_ID}"
        subprocess.run(["chown", "-R", somebody, str(target), str(manifest)], check=True)
        # The program has to be readable for somebody: a checkout below /root is not.
        library = base / "library"
        shutil.copytree(
            COLLECTIONS / MODULE_UTILS, library / MODULE_UTILS, ignore=lambda *_: ["__pycache__"]
        )
        for _run in ("first", "again"):
            output = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    APPLY_AS_SOMEBODY,
                    str(library),
                    str(manifest),
                    str(target),
                    str(UNPRIVILEGED_ID),
                ],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            found = json.loads(output)
            assert found["problems"] == []
            assert "a device can't be made without root" in found["warnings"]
            assert "owner 999:70 not applied: Operation not permitted" in found["warnings"]
        result = compare_tree(manifest, target, read_content=True)
        # The devices are all that is missing, and no content is wrong.
        assert result.missing == 2
        assert not [one for one in result.differences if "content" in one.aspects]
