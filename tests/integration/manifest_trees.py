# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees that no backup likes, a download as rclone does it, and what says that trees are equal."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.travelling import (
    iter_download_paths,
)

SMALL_FILES = 5000
MIB = 1 << 20
GIB = 1 << 30
# Two data runs in a lot of nothing.
SPARSE_DATA = b"data" * 5000
RCLONE = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners, devices, trusted.*")
needs_tools = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("rsync", "setfacl", "getfattr", "setcap")),
    reason="needs the packages rsync, acl, attr and libcap2-bin",
)
needs_rclone = pytest.mark.skipif(not os.access(RCLONE, os.X_OK), reason="needs rclone")

ODD_NAMES = (
    b"new\nline",
    b"carriage\rreturn",
    b"tab\there",
    b"escape\x1b[31m",
    b"delete\x7f",
    b"not utf-8 \xff\xfe",
    b"latin-1 caf\xe9",
    b" leading space",
    b"trailing space ",
    b"trailing dot.",
    b" ",
    b"...",
    b"back\\slash",
    b"n" * 176,
    b"n" * 255,
    "é".encode() * 100,
    "quote \u201b".encode(),
    "picture \u2400\u2401".encode(),
    "fullwidth \uff0f \uff0e".encode(),
    "replacement \ufffd".encode(),
    # one name to whoever normalizes: the first is NFC, the second NFD
    b"cafe\xcc\x81",
    b"q.rclonelink",
)
PLAIN_NAMES = (
    b"-rf",
    b"--delete",
    b"#hash",
    b";semicolon",
    b"[glob]*?{a,b}",
    b"'quotes' \"and\" $HOME `id`",
    b"n" * 175,
    b"caf\xc3\xa9",
    "日本語\uff1a名前\uff1f".encode(),
    "😀".encode(),
    b"a%2Fb",
    b"c:d",
    b"~",
    b"..hidden",
)


def run(*argv: str) -> str:
    """Standard output of a command that must succeed; bytes that are not UTF-8 survive."""
    result = subprocess.run(argv, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode("utf-8", "replace")
    return result.stdout.decode("utf-8", "surrogateescape")


def write(path: bytes, data: bytes = b"content", mtime_ns: int = 1_600_000_000_123_456_789) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def make_hostile_tree(root: Path, small_files: int = SMALL_FILES, sparse_bytes: int = GIB) -> None:
    """Every kind of entry and of name below ``root/tree``, and a second tree beside it."""
    base = os.fsencode(root) + b"/tree/"
    for directory in (b"names", b"kinds", b"modes", b"links/far/away", b"attributes", b"other"):
        os.makedirs(base + directory)
    os.makedirs(os.fsencode(root) + b"/second/empty/inner")
    for name in ODD_NAMES + PLAIN_NAMES:
        write(base + b"names/" + name, b"content of " + name)
    _make_odd_directories(base)
    _make_kinds(base + b"kinds/", sparse_bytes)
    _make_modes(base + b"modes/")
    _make_links(base)
    _make_attributes(base + b"attributes/")
    for number in range(small_files):
        directory = base + b"many/%02d" % (number % 50)
        os.makedirs(directory, exist_ok=True)
        write(directory + b"/%d.txt" % number, b"%d" % number, 1_500_000_000_000_000_000 + number)
    # Directory times last: making entries changed them. One lies before 1970.
    os.utime(base + b"kinds", ns=(1, 1_234_567_890_987_654_321))
    os.utime(base + b"other", ns=(1, -86_400_000_000_001))


def _make_odd_directories(base: bytes) -> None:
    odd = base + b"names/directory \xff\n/ inner "
    os.makedirs(odd)
    write(odd + b"/plain name")
    os.symlink(b"target \xff\n", odd + b"/link\xfe")
    os.makedirs(odd + b"/empty\x01")
    os.chown(odd, 1234, 5678)
    os.utime(odd, ns=(1, 1_111_111_111_111_111_111))
    deep = base + b"names/" + b"/".join([b"deep" * 10] * 20)
    os.makedirs(deep)
    write(deep + b"/a path that is too long once it is encrypted")


def _make_kinds(base: bytes, sparse_bytes: int) -> None:
    write(base + b"empty file", b"")
    os.makedirs(base + b"empty directory/in/another")
    os.symlink(b"empty file", base + b"symlink")
    os.symlink(b"/nowhere/at all", base + b"dangling")
    os.symlink(b"empty directory", base + b"symlink to a directory")
    os.symlink(b"x" * 1000, base + b"long symlink")
    os.lchown(base + b"dangling", 33, 44)
    os.utime(base + b"dangling", ns=(1, 1_300_000_000_000_000_007), follow_symlinks=False)
    os.mkfifo(base + b"pipe", 0o620)
    os.mknod(base + b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(base + b"loop", stat.S_IFBLK | 0o660, os.makedev(7, 300))
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    try:
        # A socket's address is limited to 108 bytes, a temporary directory's path is not.
        os.chdir(base)
        listener.bind("socket")
    finally:
        os.chdir(here)
        listener.close()
    with open(base + b"sparse", "wb") as stream:
        stream.truncate(sparse_bytes)
        stream.seek(sparse_bytes // 2)
        stream.write(SPARSE_DATA)
    with open(base + b"small sparse", "wb") as stream:
        stream.seek(3 * MIB + 5)
        stream.write(SPARSE_DATA)
        stream.truncate(8 * MIB + 7)


def _make_modes(base: bytes) -> None:
    for mode in (0o000, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o6711, 0o1777, 0o7777):
        write(base + b"file %04o" % mode)
        os.chown(base + b"file %04o" % mode, 999, 70)
        os.chmod(base + b"file %04o" % mode, mode)
        os.mkdir(base + b"directory %04o" % mode)
        write(base + b"directory %04o/inside" % mode)
        os.chown(base + b"directory %04o" % mode, 4_000_000_000, 70)
        os.chmod(base + b"directory %04o" % mode, mode)


def _make_links(base: bytes) -> None:
    write(base + b"links/leader", b"linked")
    os.link(base + b"links/leader", base + b"links/far/away/member")
    os.link(base + b"links/leader", base + b"other/member")
    write(base + b"links/odd \x02", b"odd leader")
    os.link(base + b"links/odd \x02", base + b"links/plain member")
    write(base + b"links/a plain leader", b"odd member")
    os.link(base + b"links/a plain leader", base + b"other/odd member\n")
    os.link(base + b"other/odd member\n", base + b"other/another odd member\xff")


def _make_attributes(base: bytes) -> None:
    os.makedirs(base + b"acl/inherits")
    write(base + b"acl/file")
    text = os.fsdecode(base)
    run("setfacl", "-m", "u:1000:rwx,g:2000:r-x,m::r-x", text + "acl/file")
    run("setfacl", "-d", "-m", "u:1001:rw-,o::---", text + "acl")
    write(base + b"acl/inherits from default")
    run("setfacl", "-b", text + "acl/inherits")
    write(base + b"xattrs")
    os.setxattr(base + b"xattrs", b"user.text", b"value")
    os.setxattr(base + b"xattrs", b"user.binary \xff", bytes(range(256)))
    os.setxattr(base + b"xattrs", b"user.empty", b"")
    os.setxattr(base + b"xattrs", b"trusted.secret", b"\x00\x01")
    os.symlink(b"xattrs", base + b"link")
    os.setxattr(base + b"link", b"trusted.on-link", b"1", follow_symlinks=False)
    write(base + b"capable")
    os.chown(base + b"capable", 1, 1)
    os.chmod(base + b"capable", 0o4755)
    run("setcap", "cap_net_bind_service,cap_net_raw+ep", text + "capable")
    os.mkdir(base + b"directory")
    os.setxattr(base + b"directory", b"user.on-directory", b"1")


def download_plainly(source: Path, manifest: Path, target: Path) -> None:
    """Copy what travels as rclone would: bytes and mtimes, no holes, nothing else."""
    for path in iter_download_paths(manifest):
        wanted = os.path.join(os.fsencode(source), path)
        copy = os.path.join(os.fsencode(target), path)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        status = os.stat(wanted)
        if status.st_size >= GIB:
            # As rclone would write it on a disk with holes: 2 GB of zeros cost the test 10 s.
            run("cp", "--sparse=always", "--", os.fsdecode(wanted), os.fsdecode(copy))
        else:
            shutil.copyfile(wanted, copy)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def tree_differences(source: Path, target: Path) -> List[str]:
    """What rsync would have to mend in ``target/tree`` and ``target/second``."""
    lines: List[str] = []
    for name in ("tree", "second"):
        output = run(
            *("rsync", "-aHAXn", "--numeric-ids", "--checksum", "--delete", "-i", "--devices"),
            *("--exclude=/kinds/socket", f"{source / name}/", f"{target / name}/"),
        )
        lines += output.splitlines()
    return lines


def attribute_dumps(root: Path) -> List[List[str]]:
    """``getfacl -R`` and ``getfattr -R -d -m -`` of the tree, an item for each entry.

    Both list in the directory's own order, and getfacl the socket too, which isn't restored.
    """
    dumps = []
    for command in ("getfacl -R -P -n tree", "getfattr -R -P -h -d -m - -e hex tree"):
        result = subprocess.run(command.split(), cwd=root, capture_output=True, check=True)
        blocks = result.stdout.decode("utf-8", "surrogateescape").split("\n\n")
        dumps.append(sorted(block for block in blocks if "kinds/socket" not in block))
    return dumps
