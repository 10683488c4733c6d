# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients at once: uploads of both kinds, copies, hides and listings, none lost or mixed."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from b2_standin.client import StandIn
from b2_standin.tests.support import (
    BUCKET,
    MIB,
    Rclone,
    b2_api,
    contents,
    tree_digests,
    versions,
    write_file,
)

THREADS = 8
FILES_EACH = 12


def test_two_rclones_and_many_listings_at_once(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    trees = [tmp_path / name for name in ("one", "two")]
    for number, tree in enumerate(trees):
        for index in range(30):
            write_file(tree / f"{index % 7}" / f"file-{index}", 2000 + index, number)
        write_file(tree / "big", 12 * MIB, number)
    flags = ("--transfers", "16", "--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M")
    running = [rclone.popen("sync", tree, f"b2:{BUCKET}/{tree.name}", *flags) for tree in trees]
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    while any(process.poll() is None for process in running):
        names = [item.file_name for item, _folder in bucket.ls(recursive=True, fetch_count=20)]
        assert names == sorted(set(names))
    for process, tree in zip(running, trees):
        _out, err = process.communicate()
        assert process.returncode == 0, err
        rclone("copy", f"b2:{BUCKET}/{tree.name}", tmp_path / f"{tree.name}-back", *flags)
        assert tree_digests(tmp_path / f"{tree.name}-back") == tree_digests(tree)
    stats = b2.stats()
    assert stats["concurrent_requests_max"] >= 2
    # rclone asks whether its path is a file before it lists it.
    assert set(stats["errors"]) <= {"not_found"}
    assert stats["bytes_uploaded"] == sum(
        path.stat().st_size for tree in trees for path in tree.rglob("*") if path.is_file()
    )


def test_threads_on_the_same_names(b2: StandIn) -> None:
    api = b2_api(b2)
    bucket = api.get_bucket_by_name(BUCKET)

    def work(number: int) -> None:
        for index in range(FILES_EACH):
            own = bucket.upload_bytes(f"{number}-{index}".encode(), f"own/{number}-{index}")
            shared = bucket.upload_bytes(b"s" * (number + 1), f"shared/{index}")
            assert shared.content_sha1 == hashlib.sha1(b"s" * (number + 1)).hexdigest()
            bucket.copy(own.id_, f"copy/{number}-{index}")
            bucket.hide_file(f"own/{number}-{index}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert len(versions(b2, "own/")) == 2 * THREADS * FILES_EACH
    assert len(versions(b2, "shared/")) == THREADS * FILES_EACH
    visible = [item.file_name for item, _folder in bucket.ls(recursive=True)]
    assert len(visible) == (THREADS + 1) * FILES_EACH
    for number in range(THREADS):
        for index in range(FILES_EACH):
            assert contents(bucket, f"copy/{number}-{index}") == f"{number}-{index}".encode()
    ids = [item["fileId"] for item in b2.files(BUCKET)]
    assert len(ids) == len(set(ids))
