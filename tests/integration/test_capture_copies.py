# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies with real rsync: nothing is lost, nothing old is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest
from integration.container_lab import tree_difference
from integration.file_systems import mounted

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    CommandError,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.rsync import (
    RsyncStats,
    copy,
    literal_pattern,
    parse_stats,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.run import (
    CaptureResult,
    run_capture,
)
from ansible_collections.lepotato.backup.plugins.module_utils.capture.settle_writes import (
    LARGE_BYTES,
    note_files,
    prepare_cold,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    parse_config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import (
    CommandResult,
    SubprocessRunner,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and mounts need root")


class Quiet:
    """A journal that nobody reads."""

    def info(self, message: str) -> None:
        """Nothing."""

    def warning(self, message: str) -> None:
        """Nothing."""

    def step(self, name: str) -> None:
        """Nothing."""


@pytest.fixture(name="source")
def make_source(tmp_path: Path) -> Path:
    source = tmp_path / "ssd" / "volumes"
    source.mkdir(parents=True)
    return source


def config_for(source: Path, *more: Path, **first: object) -> Config:
    top = source.parents[1]
    return parse_config(
        {
            "host": "potato",
            "bucket": "b",
            "host_prefix": "p",
            "paths": {
                "ssd": str(top / "ssd"),
                "staging": str(top / "ssd/backup-staging"),
                "state": str(top / "state"),
                "log": str(top / "log"),
            },
            "sources": [
                {
                    "tree": "docker-volumes",
                    "paths": [str(source), *(str(path) for path in more)],
                    **first,
                }
            ],
            "containers": {"enabled": False},
        }
    )


def capture(config: Config) -> CaptureResult:
    return run_capture(config, SubprocessRunner(), Quiet())


def staged(config: Config, path: Path) -> Path:
    return Path(config.paths.daily) / "docker-volumes" / path.relative_to("/")


@needs_root
def test_the_staged_tree_is_the_tree(source: Path) -> None:
    (source / "plain").write_text("x")
    os.chown(source / "plain", 1234, 4321)
    (source / "plain").chmod(0o4751)
    os.utime(source / "plain", ns=(10**9, 1234567890123456789))
    (source / "empty").mkdir(mode=0o700)
    (source / "link").symlink_to("plain")
    (source / "dangling").symlink_to("/nowhere")
    os.link(source / "plain", source / "again")
    os.mkfifo(source / "fifo")
    with (source / "sparse").open("wb") as stream:
        stream.truncate(50 * 1024**2)
        stream.write(b"begin")
    for name in (b"-rf", b"new\nline", b"\xff\xfe", b"trailing ", b"a*[b]?", b"n" * 255):
        (source / os.fsdecode(name)).write_bytes(name)
    subprocess.run(["setfattr", "-n", "user.x", "-v", "y", str(source / "plain")], check=True)
    subprocess.run(["setfacl", "-m", "u:99:rw", str(source / "empty")], check=True)
    config = config_for(source)

    capture(config)

    assert tree_difference(source, staged(config, source)) == []
    assert (staged(config, source) / "sparse").stat().st_blocks < 1000
    assert (staged(config, source) / "again").stat().st_nlink == 2

    shutil.rmtree(source / "empty")
    (source / "plain").unlink()
    capture(config)
    assert tree_difference(source, staged(config, source)) == []


def test_a_snapshot_of_hard_links_keeps_what_it_held(source: Path) -> None:
    (source / "rows").write_text("old")
    config = config_for(source)
    capture(config)
    snapshot = Path(config.paths.staging) / "weekly"
    subprocess.run(["cp", "-al", config.paths.daily, str(snapshot)], check=True)
    (source / "rows").write_text("new rows")
    capture(config)
    below = (staged(config, source) / "rows").relative_to(config.paths.daily)
    assert (snapshot / below).read_text() == "old"
    assert (staged(config, source) / "rows").read_text() == "new rows"


def test_excludes_single_files_and_links_as_sources(source: Path, tmp_path: Path) -> None:
    (source / "cache").mkdir()
    (source / "cache/x").write_text("x")
    (source / "keep").write_text("x")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1")
    real = tmp_path / "real"
    real.mkdir()
    (real / "inside").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(real)
    config = config_for(source, hosts, link, exclude=[f"{source}/cache"])
    capture(config)
    assert sorted(os.listdir(staged(config, source))) == ["keep"]
    assert staged(config, hosts).read_text() == "127.0.0.1"
    assert (staged(config, link) / "inside").read_text() == "x"


def test_staging_below_a_source_is_not_copied_into_itself(source: Path) -> None:
    config = config_for(source, source.parent)
    (source / "x").write_text("x")
    capture(config)
    capture(config)
    assert sorted(os.listdir(staged(config, source.parent))) == ["volumes"]


def test_what_is_no_source_any_more_leaves_staging(source: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "x").write_text("x")
    (source / "y").write_text("y")
    both = config_for(source, old)
    capture(both)
    (Path(both.paths.daily) / "forgotten-tree").mkdir()
    (Path(both.paths.daily) / "dumps").mkdir()
    assert (staged(both, old) / "x").exists()
    capture(config_for(source))
    assert not staged(both, old).exists()
    assert (staged(both, source) / "y").exists()
    assert sorted(os.listdir(both.paths.daily)) == ["docker-volumes", "dumps"]


def test_a_missing_source_is_an_error_unless_it_need_not_be_there(
    source: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(BackupError, match=f"the source {missing} .* does not exist"):
        capture(config_for(source, missing))
    result = capture(config_for(source, missing, required=False))
    assert list(result.trees) == ["docker-volumes"]


@needs_root
def test_an_error_of_rsync_is_told_with_its_words(source: Path) -> None:
    (source / "x").write_text("x")
    config = config_for(source)
    blocked = staged(config, source)
    blocked.mkdir(parents=True)
    subprocess.run(["chattr", "+i", str(blocked)], check=True)
    try:
        with pytest.raises(CommandError, match=r"rsync.*failed with exit code 23.*not permitted"):
            capture(config)
    finally:
        subprocess.run(["chattr", "-i", str(blocked)], check=True)


def copy_slowly(
    source: Path, target: Path, meddle: Callable[[], None], *, may_vanish: bool, every_time: bool
) -> RsyncStats:
    """Copy *source*, whose first file takes a second a try; *meddle* in the first of them or, with
    *every_time*, in each."""
    copies = target / source.relative_to("/")
    tries = 0

    def meddle_in_the_copy(ended: threading.Event) -> None:
        # rsync has read the list by then, and the first file's copy is time to meddle.
        while not list(copies.glob(".first.*")):
            assert not ended.wait(0.005), "rsync was never seen to copy the first file"
        meddle()

    class Meddling(SubprocessRunner):
        def run(self, argv: Sequence[str], **options: Any) -> CommandResult:
            nonlocal tries
            tries += 1
            if tries > 1 and not every_time:
                return super().run(argv, **options)
            ended = threading.Event()
            with ThreadPoolExecutor(1) as pool:
                meddled = pool.submit(meddle_in_the_copy, ended)
                try:
                    result = super().run(argv, **options)
                finally:
                    ended.set()
                meddled.result()
            return result

    return copy(
        Meddling(), [str(source)], str(target), may_vanish=may_vanish, options=("--bwlimit=3000",)
    )


def test_files_that_vanish_are_left_to_the_next_pass_or_copied_again(
    source: Path, tmp_path: Path
) -> None:
    (source / "first").write_bytes(bytes(3 * 1024**2))
    gone = source / "second"
    gone.write_text("x")
    hot = copy_slowly(source, tmp_path / "hot", gone.unlink, may_vanish=True, every_time=False)
    assert hot.vanished
    gone.write_text("x")
    cold = copy_slowly(source, tmp_path / "cold", gone.unlink, may_vanish=False, every_time=False)
    assert not cold.vanished
    assert tree_difference(source, tmp_path / "cold" / source.relative_to("/")) == []


def test_files_that_vanish_in_every_try_are_named(source: Path, tmp_path: Path) -> None:
    first = source / "first"
    first.write_bytes(os.urandom(3 * 1024**2))
    (source / "second 1").write_text("x")

    def meddle() -> None:
        names = sorted(source.glob("second *"))
        names[0].rename(source / f"second {int(names[0].name.split()[1]) + 1}")
        # Read again in the next try, which is then slow too.
        os.utime(first)

    cold = copy_slowly(source, tmp_path / "cold", meddle, may_vanish=False, every_time=True)
    assert cold.vanished
    assert cold.vanished_names == (f"{source}/second 3",)


def test_a_file_that_is_cut_while_it_is_read_is_copied_again(source: Path, tmp_path: Path) -> None:
    first = source / "first"

    def cut() -> None:
        os.truncate(first, 1000)

    first.write_bytes(os.urandom(3 * 1024**2))
    hot = copy_slowly(source, tmp_path / "hot", cut, may_vanish=True, every_time=False)
    assert hot.vanished
    first.write_bytes(os.urandom(3 * 1024**2))
    cold = copy_slowly(source, tmp_path / "cold", cut, may_vanish=False, every_time=False)
    assert not cold.vanished
    assert tree_difference(source, tmp_path / "cold" / source.relative_to("/")) == []


def test_an_exclude_pattern_for_a_path_means_just_that_path() -> None:
    assert literal_pattern("/a/b*[c]?\\d") == "/a/b\\*\\[c]\\?\\\\d"


def test_statistics_of_any_rsync_are_read() -> None:
    text = """
Number of files: 1,234 (reg: 1,000, dir: 234)
Number of created files: 0
Number of deleted files: 7 (reg: 7)
Number of regular files transferred: 12
Total file size: 1,700,000,000 bytes
Total transferred file size: 3,456 bytes
"""
    stats = parse_stats(text)
    assert (stats.files, stats.files_regular, stats.files_deleted) == (1234, 1000, 7)
    assert (stats.files_transferred, stats.bytes_transferred) == (12, 3456)
    assert stats.bytes_total == 1_700_000_000
    assert parse_stats(text.replace(" (reg: 1,000, dir: 234)", " (dir: 1,234)")).files_regular == 0
    with pytest.raises(BackupError, match="files_deleted"):
        parse_stats(text.replace("deleted", "removed"))


def test_a_write_in_the_tick_of_the_hot_copy_is_found_by_its_bytes(
    source: Path, tmp_path: Path
) -> None:
    began_ns = time.time_ns()
    racy, calm = source / "racy", source / "calm"
    racy.write_text("before")
    calm.write_text("before")
    os.utime(calm, ns=(began_ns, began_ns - 10**9))
    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=True)
    marks = note_files([str(source)], began_ns)
    assert marks.recent == [str(racy)]
    # As a write in the same tick, or through a memory map, would leave it.
    found = racy.stat()
    racy.write_text("after!")
    os.utime(racy, ns=(found.st_atime_ns, found.st_mtime_ns))
    copied = tmp_path / f"to{racy}"

    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=False)
    assert copied.read_text() == "before", "rsync alone can't see it"
    prepared = prepare_cold(marks, str(tmp_path / "to"))
    assert prepared.recopied == 1
    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=False)
    assert copied.read_text() == "after!"
    assert prepare_cold(marks, str(tmp_path / "to")).recopied == 0


def test_a_change_within_the_second_of_the_last_copy_is_seen(source: Path, tmp_path: Path) -> None:
    """rsync's default compares whole seconds."""
    rows = source / "rows"
    rows.write_text("1")
    os.utime(rows, ns=(0, 1_700_000_000_100_000_000))
    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=True)
    rows.write_text("2")
    os.utime(rows, ns=(0, 1_700_000_000_900_000_000))
    copy(SubprocessRunner(), [str(source)], str(tmp_path / "to"), may_vanish=False)
    assert (tmp_path / f"to{rows}").read_text() == "2"


@pytest.fixture(name="cloning", params=["xfs", "btrfs"])
def make_cloning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A mounted file system that can share blocks."""
    with mounted(request.param, tmp_path) as place:
        yield place


def large_file_changes(top: Path) -> tuple[int, Path, Path]:
    """Copy a large file, change a little of it, and prepare the cold pass: clones made."""
    source = top / "volumes"
    source.mkdir()
    large = source / "large.db"
    large.write_bytes(os.urandom(LARGE_BYTES * 4))
    large.chmod(0o640)
    copy(SubprocessRunner(), [str(source)], str(top / "to"), may_vanish=True)
    marks = note_files([str(source)], time.time_ns() + 10**9)
    with large.open("r+b") as stream:
        stream.write(b"changed")
    prepared = prepare_cold(marks, str(top / "to"))
    return prepared.cloned, large, Path(f"{top}/to{large}")


def test_a_large_file_is_cloned_where_the_file_system_can(cloning: Path) -> None:
    cloned, large, staged_large = large_file_changes(cloning)
    assert cloned == 1
    stats = copy(SubprocessRunner(), [str(large)], str(cloning / "to"), may_vanish=False)
    assert stats.bytes_transferred == 0
    assert tree_difference(large.parent, staged_large.parent) == []
    assert sorted(os.listdir(staged_large.parent)) == ["large.db"]
    # A clone is a copy: what the service writes from now on does not reach it.
    with large.open("r+b") as stream:
        stream.write(b"later!!")
    assert staged_large.read_bytes()[:7] == b"changed"


def test_elsewhere_a_large_file_is_left_to_rsync(tmp_path: Path) -> None:
    cloned, large, staged_large = large_file_changes(tmp_path)
    if cloned:
        pytest.skip("the temporary directory's file system can clone")
    assert staged_large.read_bytes() != large.read_bytes()
    assert sorted(os.listdir(staged_large.parent)) == ["large.db"]
    stats = copy(SubprocessRunner(), [str(large)], str(tmp_path / "to"), may_vanish=False)
    assert stats.bytes_transferred == LARGE_BYTES * 4
