# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone as the night calls it: real rclone, the stand-in for B2."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.remote_support import RCLONE, Remote, needs_rclone, write_tree

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from ansible_collections.lepotato.backup.plugins.module_utils import rclone as rclone_module
from ansible_collections.lepotato.backup.plugins.module_utils import rclone_flags
from ansible_collections.lepotato.backup.plugins.module_utils.rclone import Size
from ansible_collections.lepotato.backup.plugins.module_utils.rclone_lists import (
    modified_ms,
    read_listing,
    write_file_list,
)
from ansible_collections.lepotato.backup.plugins.module_utils.rclone_log import (
    RcloneCapExceeded,
    RcloneError,
    RcloneNotFound,
    RcloneStalled,
    RcloneUnauthorized,
    RcloneUndecryptable,
    TransferStats,
)
from b2_standin.client import StandIn

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


@pytest.fixture(scope="module")
def b2() -> Iterator[StandIn]:
    with StandIn.start() as stand_in:
        yield stand_in


@pytest.fixture
def remote(b2: StandIn, tmp_path: Path) -> Iterator[Remote]:
    yield Remote(b2, tmp_path)
    b2.clear_faults()
    b2.link()


def make_hard_tree(root: bytes, names: list[bytes]) -> dict[bytes, bytes]:
    files = {name: b"content of " + name for name in names}
    files[b"deep/er/\xe9/" + names[0]] = b"deep"
    for name, data in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(data)
    return files


def read_tree(root: bytes) -> dict[bytes, bytes]:
    found = {}
    for directory, _directories, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, root)] = stream.read()
    return found


def test_reveal_reads_what_the_filter_wrote() -> None:
    for password in ("x", "  spaces  ", "Pässwort 🥔", "a" * 1000, "-dash"):
        revealed = subprocess.run(
            [RCLONE, "reveal", "--", rclone_obscure(password, "c")], capture_output=True, check=True
        )
        assert revealed.stdout.decode() == password + "\n"


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


def test_sync_hides_what_is_gone_and_the_past_stays_readable(
    remote: Remote, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", {"a": b"old", "gone": b"g"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    remote.b2.advance_clock(60)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(remote.b2.now()))
    remote.b2.advance_clock(60)
    (source / "a").write_bytes(b"newer")
    (source / "gone").unlink()
    result = rclone.sync(str(source), rclone.crypt("daily"))
    assert (result.stats.transfers, result.stats.deletes) == (1, 1)
    assert rclone.cat(rclone.crypt("daily/a")) == b"newer"
    assert rclone.names(rclone.crypt("daily")) == ["a"]

    assert rclone.cat(rclone.crypt("daily/a"), version_at=then) == b"old"
    assert rclone.names(rclone.crypt("daily"), version_at=then) == ["a", "gone"]
    assert rclone.size(rclone.crypt("daily"), version_at=then) == Size(2, 4)
    rclone.copy(rclone.crypt("daily"), str(tmp_path / "back"), version_at=then)
    assert read_tree(bytes(tmp_path / "back")) == {b"a": b"old", b"gone": b"g"}
    # A key without deleteFiles is enough for all of it.
    assert "b2_delete_file_version" not in remote.b2.stats()["calls"]


def test_dry_run_says_what_it_would_do(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1", "b": b"2"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    (source / "a").unlink()
    (source / "c").write_bytes(b"3")
    result = rclone.sync(str(source), rclone.crypt("daily"), dry_run=True)
    assert result.planned["copy"] == 1
    assert result.planned["delete"] == 1
    assert {("copy", "c"), ("delete", "a")} <= set(result.planned_names)
    assert rclone.names(rclone.crypt("daily")) == ["a", "b"]


def test_too_many_deletions_are_refused(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {str(number): b"x" for number in range(10)})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    for number in range(8):
        (source / str(number)).unlink()
    with pytest.raises(RcloneError, match="max-delete"):
        rclone.sync(str(source), rclone.crypt("daily"), max_delete=3)
    assert rclone.size(rclone.crypt("daily")).files >= 7


def test_one_object_in_and_out(remote: Remote, tmp_path: Path) -> None:
    rclone = remote.rclone()
    data = bytes(range(256)) * 5 + b"\r\n"
    rclone.rcat(data, rclone.crypt("points/p.json"))
    assert rclone.cat(rclone.crypt("points/p.json")) == data
    local = write_tree(tmp_path, {"m": data}) / "m"
    rclone.copyto(str(local), rclone.crypt("manifests/m"))
    rclone.copyto(rclone.crypt("manifests/m"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    # Once more: that it is there already does not mean that there is no source.
    rclone.copyto(rclone.crypt("manifests/m"), str(tmp_path / "back"))
    rclone.rcat(b"", rclone.crypt("points/empty"))
    assert rclone.cat(rclone.crypt("points/empty")) == b""
    assert rclone.names(rclone.crypt()) == ["manifests/", "points/"]
    for call in (
        lambda: rclone.cat(rclone.crypt("points/none")),
        lambda: rclone.copyto(rclone.crypt("points/none"), str(tmp_path / "none")),
        lambda: rclone.cat(rclone.crypt("none/none")),
        lambda: rclone.cat(rclone.crypt("points/p.json"), version_at="2020-01-01T00:00:00Z"),
    ):
        with pytest.raises(RcloneNotFound, match="not found"):
            call()


def test_nothing_there_is_empty(remote: Remote, tmp_path: Path) -> None:
    rclone = remote.rclone()
    listing = tmp_path / "listing"
    assert rclone.names(rclone.crypt("daily")) == []
    assert rclone.size(rclone.crypt("daily")) == Size(0, 0)
    rclone.list_to(rclone.crypt("daily"), str(listing))
    assert list(read_listing(str(listing))) == []
    assert rclone.check_names() == []
    assert rclone.copy(rclone.crypt("daily"), str(tmp_path / "back")).stats.transfers == 0
    # Finding nothing there is an answer, not something for the log.
    assert remote.heard == []


def test_progress_is_told(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {str(n): os.urandom(200_000) for n in range(10)})
    remote.b2.link(bytes_per_second_total=1_000_000)
    seen: list[TransferStats] = []
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"), on_progress=seen.append)
    assert len(seen) >= 2
    # Encrypted, there are some bytes more.
    assert seen[0].bytes < 2_000_000 <= seen[-1].bytes <= 2_002_000


def test_the_measured_flags_and_no_secret_on_the_command_line(
    remote: Remote, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", {"big": os.urandom(3_000_000)})
    remote.b2.link(bytes_per_second_total=1_500_000)
    seen: list[tuple[str, str]] = []

    def look() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not seen:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_text()
                    if str(source) in command and command.startswith(RCLONE):
                        seen.append((command, Path(f"/proc/{pid}/environ").read_text()))
                except OSError:
                    continue
            time.sleep(0.05)

    looker = threading.Thread(target=look)
    looker.start()
    rclone = remote.rclone(bandwidth_limit="50M")
    rclone.sync(str(source), rclone.crypt("daily"))
    looker.join()
    command, environment = seen[0]
    assert "GOGC=20" in environment
    assert "RCLONE_B2_UPLOAD_CONCURRENCY=2" in environment
    for flag in ("--buffer-size=0", "--b2-chunk-size=5M", "--transfers=12", "--bwlimit=50M"):
        assert flag in command.split("\0")
    for secret in (remote.key.application_key, rclone_obscure("one", "1")):
        assert secret not in command + environment


def test_wrong_password_is_told_from_an_empty_prefix(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1"})
    rclone = remote.rclone()
    rclone.sync(str(source), rclone.crypt("daily"))
    assert rclone.check_names() == ["daily/"]
    remote.write_conf(password="other")
    with pytest.raises(RcloneUndecryptable, match="lepotato_backup_password2"):
        rclone.check_names()


def test_names_are_checked_in_few_calls(remote: Remote) -> None:
    # rclone asks for PREFIX itself, which a key for PREFIX/ may not, and tries again and again.
    remote.b2.reset_stats()
    remote.rclone().check_names()
    assert remote.b2.stats()["calls_total"] <= 8


def test_cap_exceeded(remote: Remote, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"a": b"1"})
    remote.b2.fault("cap_exceeded", "b2_upload_file", count=0)
    rclone = remote.rclone()
    with pytest.raises(RcloneCapExceeded, match="Caps & Alerts"):
        rclone.sync(str(source), rclone.crypt("daily"))


def test_key_without_a_capability(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rclone_flags, "RETRIES_SLEEP", "0s")
    monkeypatch.setattr(rclone_flags, "LOW_LEVEL_RETRIES", 1)
    source = write_tree(tmp_path / "source", {"a": b"1"})
    remote.write_conf(key=remote.make_key(["listFiles", "readFiles"]))
    rclone = remote.rclone()
    with pytest.raises(RcloneUnauthorized, match="lepotato_backup_b2_key"):
        rclone.sync(str(source), rclone.crypt("daily"))


def test_a_binary_that_is_not_there(remote: Remote) -> None:
    rclone = remote.rclone()
    object.__setattr__(rclone.config, "binary", "/nowhere/rclone")
    with pytest.raises(RcloneError, match="/nowhere/rclone"):
        rclone.names(rclone.crypt())


@pytest.mark.parametrize(
    ("stall_seconds", "key_check_seconds", "kind", "words"),
    [
        (4, 60, RcloneStalled, "made no progress for 4 s and was ended"),
        (900, 2, RcloneUnauthorized, "does not accept the application key"),
    ],
)
def test_a_key_revoked_in_mid_upload_ends_the_run(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stall_seconds: int,
    key_check_seconds: float,
    kind: type[RcloneError],
    words: str,
) -> None:
    monkeypatch.setattr(rclone_module, "STATS_SECONDS", 1)
    monkeypatch.setattr(rclone_module, "KEY_CHECK_SECONDS", key_check_seconds)
    source = write_tree(tmp_path / "source", {str(n): os.urandom(2000) for n in range(500)})
    remote.b2.link(delay_seconds=0.1)
    rclone = remote.rclone(stall_timeout_seconds=stall_seconds)

    def revoke() -> None:
        deadline = time.monotonic() + 20
        while len(remote.b2.files(remote.bucket)) < 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        remote.b2.delete_key(remote.key)

    revoker = threading.Thread(target=revoke)
    revoker.start()
    began = time.monotonic()
    with pytest.raises(RcloneError, match=words) as caught:
        rclone.sync(str(source), rclone.crypt("daily"))
    revoker.join()
    assert time.monotonic() - began < 40
    assert type(caught.value) is kind
    assert "lepotato_backup_b2_key" in caught.value.hint
    # Asked of the server: rclone tells its counters once a second, and may be killed before.
    assert 20 <= len(remote.b2.files(remote.bucket)) < 500


def test_an_interrupted_large_upload_is_cancelled_and_sent_again(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # rclone uploads in parts from 200 MiB on; here from 5 MiB on, to be quick.
    monkeypatch.setenv("RCLONE_B2_UPLOAD_CUTOFF", "5M")
    size_bytes = 30 * 1024**2
    source = write_tree(tmp_path / "source", {"large": b""})
    with (source / "large").open("wb") as stream:
        stream.truncate(size_bytes)
    remote.b2.link(bytes_per_second_total=5_000_000)
    rclone = remote.rclone()
    client = remote.read().client()

    class Stop(Exception):
        """Raised in mid-upload, as a signal handler of the program does."""

    def stop_late(stats: TransferStats) -> None:
        if stats.bytes > 0:
            raise Stop

    with pytest.raises(Stop):
        rclone.sync(str(source), rclone.crypt("daily"), on_progress=stop_late)
    # rclone cancelled it at SIGTERM, or did not come to it: afterwards there is none.
    remote.b2.link()
    client.cancel_unfinished(remote.bucket, "potato/")
    assert list(client.list_unfinished_large_files(remote.bucket, "potato/")) == []
    assert rclone.size(rclone.crypt("daily")) == Size(0, 0)
    rclone.sync(str(source), rclone.crypt("daily"))
    assert rclone.size(rclone.crypt("daily")) == Size(1, size_bytes)
