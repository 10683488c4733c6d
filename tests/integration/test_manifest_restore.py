# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest on real file systems: what was described and applied is the tree that was."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from integration.manifest_trees import (
    GIB,
    MIB,
    ODD_NAMES,
    PLAIN_NAMES,
    RCLONE,
    attribute_dumps,
    download_plainly,
    make_hostile_tree,
    needs_rclone,
    needs_root,
    needs_tools,
    tree_differences,
    write,
)

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.apply import (
    ApplyResult,
    apply_manifest,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.carriers import (
    is_odd,
    plan_carriers,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.compare import compare_tree
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.file import read_entries
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import select_below
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.travelling import (
    iter_download_paths,
    iter_upload_paths,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from b2_standin.client import StandIn

pytestmark = [needs_root, needs_tools]


def describe(root: Path, manifest: Path) -> None:
    write_manifest(root, manifest)
    plan_carriers(root, manifest)


def assert_identical(source: Path, target: Path, result: ApplyResult) -> None:
    assert (result.problems, result.warnings, result.extras) == ((), (), ())
    assert tree_differences(source, target) == []
    assert attribute_dumps(source) == attribute_dumps(target)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, Path]:
    """A hostile tree with its carriers, and its manifest."""
    root = tmp_path_factory.mktemp("hostile")
    make_hostile_tree(root, sparse_bytes=2 * GIB)
    manifest = root.with_name("hostile.jsonl.gz")
    describe(root, manifest)
    return root, manifest


@pytest.fixture(scope="module")
def restored(
    hostile: Tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Tuple[Path, ApplyResult]:
    source, manifest = hostile
    target = tmp_path_factory.mktemp("restored")
    download_plainly(source, manifest, target)
    return target, apply_manifest(manifest, target)


def test_hostile_tree_comes_back_identical(
    hostile: Tuple[Path, Path], restored: Tuple[Path, ApplyResult]
) -> None:
    source, _manifest = hostile
    target, result = restored
    assert_identical(source, target, result)
    assert result.sockets == 1
    assert not (target / ".carrier").exists()


def test_sparse_files_come_back_sparse(restored: Tuple[Path, ApplyResult]) -> None:
    target, _result = restored
    for name, bytes_max in (("sparse", MIB), ("small sparse", MIB)):
        status = (target / "tree/kinds" / name).stat()
        assert status.st_blocks * 512 < bytes_max


def test_compare_finds_the_restored_tree_equal(
    hostile: Tuple[Path, Path], restored: Tuple[Path, ApplyResult]
) -> None:
    _source, manifest = hostile
    target, _result = restored
    result = compare_tree(manifest, target, read_content=False)
    assert result.differences == ()
    assert result.is_equal


def test_unchanged_tree_is_not_read_again_and_gives_the_same_bytes(
    hostile: Tuple[Path, Path], tmp_path: Path
) -> None:
    source, manifest = hostile
    first = tmp_path / "first.gz"
    again = tmp_path / "again.gz"
    # The carriers were made after the manifest and moved the ctimes of odd files: read once more.
    assert write_manifest(source, first, previous=manifest).hashed_files < len(ODD_NAMES) + 10
    result = write_manifest(source, again, previous=first)
    assert result.hashed_files == 0
    assert result.reused_files > 5000
    assert first.read_bytes() == again.read_bytes()


@pytest.fixture
def small(tmp_path: Path) -> Tuple[Path, Path, Path]:
    """A small hostile tree, its manifest, and a plain download of it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    make_hostile_tree(source, small_files=20, sparse_bytes=4 * MIB)
    manifest = tmp_path / "manifest.gz"
    describe(source, manifest)
    download_plainly(source, manifest, target)
    return source, manifest, target


def test_apply_goes_on_after_an_interruption_at_any_point(small: Tuple[Path, Path, Path]) -> None:
    source, manifest, target = small
    entries = sum(1 for _entry in read_entries(manifest))

    class StoppedError(Exception):
        pass

    for stop_after in range(1, entries, 7):

        def stop(progress: object, stop_after: int = stop_after) -> None:
            if getattr(progress, "entries", 0) == stop_after:
                raise StoppedError

        with pytest.raises(StoppedError):
            apply_manifest(manifest, target, on_progress=stop)
    assert_identical(source, target, apply_manifest(manifest, target))


def test_apply_repeated_changes_nothing(small: Tuple[Path, Path, Path]) -> None:
    source, manifest, target = small
    apply_manifest(manifest, target)
    before = (target / "tree/kinds/empty file").stat().st_ctime_ns
    assert_identical(source, target, apply_manifest(manifest, target))
    assert (target / "tree/kinds/empty file").stat().st_ctime_ns == before


def test_apply_mends_wrong_metadata_and_inherited_acls(small: Tuple[Path, Path, Path]) -> None:
    source, manifest, target = small
    apply_manifest(manifest, target)
    subprocess.run(["chown", "-Rh", "12:13", str(target / "tree")], check=True)
    subprocess.run(["chmod", "-R", "u+rwX,go=", str(target / "tree")], check=True)
    subprocess.run(["setfacl", "-R", "-P", "-d", "-m", "u:77:rwx", str(target)], check=True)
    os.setxattr(target / "tree/attributes/xattrs", b"user.stray", b"1")
    (target / "tree/kinds/symlink").unlink()
    (target / "tree/kinds/symlink").symlink_to("elsewhere")
    assert_identical(source, target, apply_manifest(manifest, target))


def test_missing_damaged_and_extra_files_are_reported(small: Tuple[Path, Path, Path]) -> None:
    _source, manifest, target = small
    (target / "tree/many/00/0.txt").unlink()
    write(os.fsencode(target / "tree/many/01/1.txt"), b"2")
    write(os.fsencode(target / "tree/many/02/2.txt"), b"longer than it was")
    write(os.fsencode(target / "tree/many/stray"))
    (target / "unknown").mkdir()
    result = apply_manifest(manifest, target)
    assert not result.is_complete
    reasons = {issue.path: issue.reason for issue in result.problems}
    assert set(reasons) == {b"tree/many/%02d/%d.txt" % (n, n) for n in range(3)}
    assert reasons[b"tree/many/00/0.txt"] == "its content is missing"
    assert "SHA-256" in reasons[b"tree/many/01/1.txt"]
    assert "18 bytes, not 1" in reasons[b"tree/many/02/2.txt"]
    assert result.extras == (b"tree/many/stray", b"unknown")
    # The carriers stay until everything is there.
    assert (target / ".carrier").is_dir()


def test_damaged_files_are_removed_for_another_download(small: Tuple[Path, Path, Path]) -> None:
    source, manifest, target = small
    write(os.fsencode(target / "tree/many/01/1.txt"), b"2")
    write(os.fsencode(target / "tree/links/far/away/member"), b"LINKED")
    carriers = sorted((target / ".carrier").iterdir())
    write(os.fsencode(carriers[0]), b"bad")
    heard: List[bytes] = []
    result = apply_manifest(
        manifest, target, remove_damaged=True, on_problem=lambda path, reason: heard.append(path)
    )
    assert result.problems_total == len(heard)
    group = {b"tree/links/far/away/member", b"tree/links/leader", b"tree/other/member"}
    assert group | {b"tree/many/01/1.txt"} < set(heard)
    assert not carriers[0].exists()
    assert not (target / "tree/links/leader").exists()
    download_plainly(source, manifest, target)
    assert_identical(source, target, apply_manifest(manifest, target))


def test_symlinks_in_the_target_are_never_followed(small: Tuple[Path, Path, Path]) -> None:
    source, manifest, target = small
    outside = target.with_name("outside")
    shutil.copytree(source / "tree/many", outside)
    before = {path: path.stat() for path in sorted(outside.rglob("*"))}
    shutil.rmtree(target / "tree/many")
    (target / "tree/many").symlink_to(outside)
    (target / "tree/modes/file 4755").unlink()
    (target / "tree/modes/file 4755").symlink_to(outside / "01/1.txt")
    result = apply_manifest(manifest, target)
    blocked = {issue.path for issue in result.problems}
    assert {b"tree/many", b"tree/many/01/1.txt", b"tree/modes/file 4755"} <= blocked
    assert {path: path.stat() for path in sorted(outside.rglob("*"))} == before


def test_part_of_a_tree(small: Tuple[Path, Path, Path], tmp_path: Path) -> None:
    """One member of a hard-link group, whose leader lies elsewhere, and an odd name."""
    source, manifest, _target = small
    select = select_below(b"tree/links/far", b"tree/other", b"tree/kinds/pipe")
    part = tmp_path / "part"
    part.mkdir()
    for path in iter_download_paths(manifest, select):
        copy = os.path.join(os.fsencode(part), path)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy2(os.path.join(os.fsencode(source), path), copy)
    result = apply_manifest(manifest, part, select=select)
    assert (result.problems, result.extras) == ((), ())
    found = sorted(os.fsencode(path.relative_to(part)) for path in part.rglob("*"))
    assert found == [
        b"tree",
        b"tree/kinds",
        b"tree/kinds/pipe",
        b"tree/links",
        b"tree/links/far",
        b"tree/links/far/away",
        b"tree/links/far/away/member",
        b"tree/other",
        b"tree/other/another odd member\xff",
        b"tree/other/member",
        b"tree/other/odd member\n",
    ]
    assert compare_tree(manifest, part, select=select).missing == 0
    one = (part / "tree/links/far/away/member").stat()
    assert os.path.samestat(one, (part / "tree/other/member").stat())
    assert (part / "tree/links").stat().st_mtime_ns == (source / "tree/links").stat().st_mtime_ns


CRYPT_SECTION = """\
[crypt]
type = crypt
remote = b2:bucket/{prefix}
filename_encryption = standard
directory_name_encryption = true
filename_encoding = base64
password = {password}
password2 = {password}
"""
# The longest prefix that the names' rule leaves room for, with "weekly/backup-DATE" below it.
HOST_PREFIX = "h" * 100
WEEKLY = "weekly/backup-20261122T020000Z"


@pytest.fixture(scope="module")
def rclone_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration with crypt over a B2 stand-in, which enforces B2's limits on names."""
    obscured = subprocess.run([RCLONE, "obscure", "secret"], capture_output=True, check=True)
    config = tmp_path_factory.mktemp("rclone") / "rclone.conf"
    with StandIn.start() as stand_in:
        stand_in.make_bucket("bucket")
        crypt = CRYPT_SECTION.format(
            prefix=HOST_PREFIX, password=obscured.stdout.decode("ascii").strip()
        )
        config.write_text(f"[b2]\n{stand_in.rclone_section()}{crypt}")
        yield config


def make_longest_plain_path(directory: Path) -> None:
    """A file whose path is as long as it may be without a carrier."""
    path = directory
    relative = os.fsencode(directory.relative_to(directory.parents[1]))
    while not is_odd(relative + b"/" + b"p" * 31 + b"/f"):
        path, relative = path / ("p" * 31), relative + b"/" + b"p" * 31
    path.mkdir(parents=True)
    write(os.fsencode(path / "f"))


@needs_rclone
def test_through_rclone_crypt_and_b2(
    small: Tuple[Path, Path, Path], tmp_path: Path, rclone_config: Path
) -> None:
    source, manifest, _target = small
    # Every fullwidth form: the rule lets those pass that no encoding on the way uses.
    for code in range(0xFF01, 0xFF5F):
        write(os.fsencode(source / "tree/many") + f"/{chr(code)}".encode())
    make_longest_plain_path(source / "tree/long")
    describe(source, manifest)
    target = tmp_path / "restored"
    target.mkdir()
    choice = tmp_path / "list"
    choice.write_bytes(b"".join(path + b"\n" for path in iter_upload_paths(manifest)))
    arguments = ["copy", "--files-from-raw", str(choice), "--no-traverse"]
    remote = f"crypt:{WEEKLY}-list"
    for argv in ([*arguments, str(source), remote], ["copy", remote, str(target)]):
        subprocess.run(
            [RCLONE, "--config", str(rclone_config), "-q", "--retries=1", "--transfers=8", *argv],
            check=True,
        )
    came = sorted(
        os.fsencode(path.relative_to(target)) for path in target.rglob("*") if path.is_file()
    )
    assert came == sorted(iter_upload_paths(manifest))
    assert_identical(source, target, apply_manifest(manifest, target))


def test_odd_and_plain_names_are_told_apart() -> None:
    assert [name for name in ODD_NAMES if not is_odd(b"tree/" + name)] == []
    assert [name for name in PLAIN_NAMES if is_odd(b"tree/" + name)] == []
