# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any file name through rclone, crypt and the stand-in for B2, and lists of names."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from integration.remote_support import Remote, needs_rclone, read_tree, write_tree

from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Size
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.log import RcloneError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.name_lists import (
    modified_ms,
    read_listing,
    write_file_list,
)

pytestmark = needs_rclone

# Names that rclone's own encodings touch, or that a list of names could lose.
HARD_NAMES = [
    b"caf\xe9 latin-1",
    b"\xff\xfe",
    "caf\u00e9 NFC".encode(),
    "cafe\u0301 NFC".encode(),
    "fullwidth \uff0f slash".encode(),
    "symbol \u2400 for nul".encode(),
    "quote \u201b rune".encode(),
    "\uff0e".encode(),
    b" leading and trailing ",
    b"#hash",
    b";semicolon",
    b"*star[1]{a,b}?",
    b"back\\slash",
    b'"quoted", with comma',
    b"\x01control",
    b"tab\there",
    b"- minus",
    b"x" * 175,
]
NAMES_OFF_THE_LIST = [b"line\nfeed", b"carriage return at the end\r"]


def make_hard_tree(root: bytes, names: list[bytes]) -> dict[bytes, bytes]:
    files = {name: b"content of " + name for name in names}
    files[b"deep/er/\xe9/" + names[0]] = b"deep"
    for name, data in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(data)
    return files


def test_any_name_comes_back_as_bytes(remote: Remote, tmp_path: Path) -> None:
    source, back = bytes(tmp_path / "source"), bytes(tmp_path / "back")
    files = make_hard_tree(source, HARD_NAMES + NAMES_OFF_THE_LIST)
    rclone = remote.rclone()
    rclone.sync(os.fsdecode(source), rclone.crypt("daily"))
    rclone.copy(rclone.crypt("daily"), os.fsdecode(back))
    assert read_tree(back) == files

    listing = str(tmp_path / "listing")
    rclone.list_to(rclone.crypt("daily"), listing)
    assert {
        entry.path.encode("utf-8", "surrogateescape"): entry.bytes
        for entry in read_listing(listing)
    } == {name: len(data) for name, data in files.items()}
    for entry in read_listing(listing):
        modified_ns = os.lstat(os.path.join(source, os.fsencode(entry.path))).st_mtime_ns
        assert modified_ms(entry.modified) == modified_ns // 10**6
    size = rclone.size(rclone.crypt("daily"))
    assert size == Size(len(files), sum(map(len, files.values())))
    # A second night finds every one of them in its place.
    assert rclone.sync(os.fsdecode(source), rclone.crypt("daily")).stats.transfers == 0
    assert remote.heard == []


def test_a_list_of_names_picks_exactly_those(remote: Remote, tmp_path: Path) -> None:
    source, back = bytes(tmp_path / "source"), bytes(tmp_path / "back")
    files = make_hard_tree(source, HARD_NAMES)
    rclone = remote.rclone()
    rclone.sync(os.fsdecode(source), rclone.crypt("daily"))
    wanted = sorted(files)[::2]
    names = str(tmp_path / "names")
    assert write_file_list(names, wanted) == len(wanted)
    rclone.copy(rclone.crypt("daily"), os.fsdecode(back), files_from=names, no_traverse=True)
    assert read_tree(back) == {name: files[name] for name in wanted}
    # As a sync: the destination holds those and nothing else afterwards.
    result = rclone.sync(os.fsdecode(source), rclone.crypt("daily"), files_from=names)
    assert (result.stats.transfers, result.stats.deletes) == (0, len(files) - len(wanted))
    assert rclone.size(rclone.crypt("daily")).files == len(wanted)


@pytest.mark.parametrize("name", NAMES_OFF_THE_LIST)
def test_a_name_that_no_list_carries_is_refused(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(RcloneError, match="can't be put on"):
        write_file_list(str(tmp_path / "names"), [name])


def test_what_is_no_file_is_left_to_the_manifest(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"file": b"x"})
    (source / "link").symlink_to("file")
    (source / "dangling").symlink_to("nowhere")
    (source / "loop").symlink_to(".")
    (source / "empty").mkdir()
    os.mkfifo(source / "fifo")
    if os.geteuid() == 0:
        os.mknod(source / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        # A path of a socket has at most 107 bytes.
        here = os.open(source, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    rclone = remote.rclone()
    result = rclone.sync(str(source), rclone.crypt("daily"))
    assert (result.exit_code, result.stats.transfers, result.errors) == (0, 1, ())
    assert rclone.names(rclone.crypt("daily")) == ["file"]
    assert remote.heard == []
