# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone's ordinary work: sync, copy, cryptcheck, large files, server-side copies."""

from __future__ import annotations

from pathlib import Path

from b2_standin.client import StandIn
from b2_standin.tests.support import (
    BUCKET,
    MIB,
    Rclone,
    make_tree,
    tree_digests,
    versions,
    write_file,
)

SMALL_PARTS = ("--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M")


def test_sync_through_crypt_comes_back_identical(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source")
    rclone("sync", source, "crypt:daily")
    rclone("copy", "crypt:daily", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)
    check = rclone("cryptcheck", source, "crypt:daily")
    assert "0 differences found" in check.stderr
    assert f"{len(tree_digests(source))} matching files" in check.stderr
    stored = [name for name, _action in versions(b2)]
    assert len(stored) == len(tree_digests(source))
    assert all(name.startswith("host/") and "plain" not in name for name in stored)


def test_names_and_times_survive_without_crypt(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    rclone("sync", source, f"b2:{BUCKET}/plain")
    assert {name for name, _action in versions(b2)} == {
        f"plain/{name}" for name in tree_digests(source)
    }
    b2.reset_stats()
    rclone("sync", source, f"b2:{BUCKET}/plain")
    assert "b2_upload_file" not in b2.stats()["calls"]
    rclone("check", "--download", source, f"b2:{BUCKET}/plain")


def test_a_deletion_hides_and_a_second_sync_is_quiet(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source")
    rclone("sync", source, f"b2:{BUCKET}")
    (source / "plain.txt").unlink()
    rclone("sync", source, f"b2:{BUCKET}")
    assert versions(b2, "plain.txt") == [("plain.txt", "hide"), ("plain.txt", "upload")]
    assert "plain.txt" not in rclone("lsf", f"b2:{BUCKET}").stdout
    rclone("purge", f"b2:{BUCKET}")
    assert b2.call("GET", "buckets")["buckets"] == []


def test_a_large_file_goes_up_in_parts_and_comes_down_whole(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / "big.bin", 17 * MIB).parent
    rclone("copy", source, f"b2:{BUCKET}/big", *SMALL_PARTS)
    stats = b2.stats()
    assert stats["calls"]["b2_upload_part"] == 4
    assert stats["bytes_uploaded"] == 17 * MIB
    (stored,) = b2.files(BUCKET)
    assert stored["contentSha1"] == "none"
    assert stored["contentLength"] == 17 * MIB
    digest = rclone("sha1sum", f"b2:{BUCKET}/big").stdout.split()[0]
    assert stored["fileInfo"]["large_file_sha1"] == digest
    rclone("copy", f"b2:{BUCKET}/big", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)


def test_a_range_of_a_large_file_is_read(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = tmp_path / "numbers.txt"
    with source.open("wb") as stream:
        for number in range(12 * MIB // 16):
            stream.write(b"%015d\n" % number)
    rclone("copy", source, f"b2:{BUCKET}", *SMALL_PARTS)
    b2.reset_stats()
    across_parts = 5 * MIB - 16
    part = rclone("cat", "--offset", str(across_parts), "--count", "48", f"b2:{BUCKET}/numbers.txt")
    first = across_parts // 16
    assert part.stdout == "".join(f"{number:015d}\n" for number in range(first, first + 3))
    assert b2.stats()["statuses"]["206"] == 1
    assert b2.stats()["bytes_downloaded"] < 8 * MIB


def test_a_server_side_copy_uploads_nothing(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    write_file(source / "big.bin", 12 * MIB)
    rclone("sync", source, "crypt:daily", *SMALL_PARTS)
    b2.reset_stats()
    rclone("copy", "crypt:daily", "crypt:weekly/backup-1", "--b2-copy-cutoff", "5M")
    stats = b2.stats()
    assert stats["bytes_uploaded"] == 0
    assert stats["calls"]["b2_copy_file"] == len(tree_digests(source)) - 1
    assert stats["calls"]["b2_copy_part"] == 3
    rclone("purge", "crypt:daily")
    rclone("copy", "crypt:weekly/backup-1", tmp_path / "restored")
    assert tree_digests(tmp_path / "restored") == tree_digests(source)


def test_directories_are_listed_by_delimiter(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "a/sub/3", "b", "c/4"):
        write_file(tmp_path / "source" / name, 10)
    rclone("copy", tmp_path / "source", f"b2:{BUCKET}")
    rclone("deletefile", f"b2:{BUCKET}/c/4")
    b2.reset_stats()
    assert rclone("lsf", f"b2:{BUCKET}").stdout == "a/\nb\n"
    assert b2.stats()["calls"]["b2_list_file_names"] == 1
    assert rclone("lsf", f"b2:{BUCKET}/a").stdout == "1\n2\nsub/\n"
    assert rclone("lsf", "--b2-versions", f"b2:{BUCKET}").stdout == "a/\nb\nc/\n"


def test_a_name_longer_than_b2_allows_is_refused(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = write_file(tmp_path / "source" / ("x" * 251), 10).parent
    failed = rclone("copy", source, f"b2:{BUCKET}", check=False)
    assert failed.returncode == 1
    assert "File name segment too long" in failed.stderr
    assert versions(b2) == []
