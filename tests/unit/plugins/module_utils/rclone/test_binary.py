# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from pathlib import Path
from typing import IO

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.binary import (
    DOWNLOAD_TRIES,
    delivery_sha256,
    download,
    file_sha256,
    install_binary,
    require_sha256,
)

BINARY = b"\x7fELF" + b"rclone" * 1000
SHA256 = hashlib.sha256(BINARY).hexdigest()


def _release(path: Path, *names: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, BINARY if os.path.basename(name) == "rclone" else b"text")
    return str(path)


def _binary(path: Path) -> str:
    path.write_bytes(BINARY)
    return str(path)


def test_zip_file_and_bare_binary_have_the_same_sum(tmp_path: Path) -> None:
    release = _release(tmp_path / "r.zip", "rclone-v1-linux-arm64/rclone", "rclone-v1/README.txt")
    assert delivery_sha256(release) == SHA256
    assert delivery_sha256(_binary(tmp_path / "b")) == SHA256


@pytest.mark.parametrize("zipped", [True, False])
def test_the_binary_is_installed_executable(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "delivery"
    delivery = _release(path, "rclone-v1/rclone") if zipped else _binary(path)
    destination = tmp_path / "bin" / "rclone"
    destination.parent.mkdir()
    install_binary(delivery, delivery, str(destination), SHA256)
    assert destination.read_bytes() == BINARY
    assert stat.S_IMODE(destination.stat().st_mode) == 0o755
    assert os.listdir(destination.parent) == ["rclone"]


def test_a_wrong_sum_names_both_and_the_old_binary_stays(tmp_path: Path) -> None:
    destination = tmp_path / "bin" / "rclone"
    destination.parent.mkdir()
    destination.write_bytes(b"old")
    expected = "0" * 64
    with pytest.raises(BackupError) as caught:
        install_binary(_binary(tmp_path / "b"), "http://mirror/r.zip", str(destination), expected)
    for part in (SHA256, expected, "http://mirror/r.zip", "rclone_binary_sha256"):
        assert part in str(caught.value)
    assert destination.read_bytes() == b"old"
    assert os.listdir(destination.parent) == ["rclone"]


def test_a_process_that_runs_the_old_binary_keeps_it(tmp_path: Path) -> None:
    destination = tmp_path / "rclone"
    destination.write_bytes(b"old")
    with destination.open("rb") as running:
        install_binary(_binary(tmp_path / "b"), "b", str(destination), SHA256)
        assert running.read() == b"old"
    assert destination.read_bytes() == BINARY


@pytest.mark.parametrize("names", [("rclone-v1/README.txt",), ("a/rclone", "b/rclone")])
def test_a_zip_file_without_one_binary_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(BackupError, match="files named rclone, not one"):
        delivery_sha256(_release(tmp_path / "r.zip", *names))


def test_sums() -> None:
    assert require_sha256(SHA256.upper()) == SHA256
    with pytest.raises(BackupError, match="rclone_binary_sha256"):
        require_sha256("latest")


def test_no_file_has_no_sum(tmp_path: Path) -> None:
    assert file_sha256(str(tmp_path / "rclone")) is None
    assert file_sha256(_binary(tmp_path / "b")) == SHA256


class Server:
    """Fails as often as it is told to, then gives the binary."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked: list[str] = []

    def open(self, url: str) -> IO[bytes]:
        self.asked.append(url)
        if len(self.asked) <= self.failures:
            raise OSError("connection reset")
        return io.BytesIO(BINARY)


def test_a_passing_failure_of_the_download_is_survived(tmp_path: Path) -> None:
    server, waited = Server(DOWNLOAD_TRIES - 1), list[float]()
    download("http://mirror/r.zip", str(tmp_path / "d"), server.open, waited.append)
    assert (tmp_path / "d").read_bytes() == BINARY
    assert len(waited) == DOWNLOAD_TRIES - 1


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"http://mirror/r\.zip: connection reset"):
        download("http://mirror/r.zip", str(tmp_path / "d"), Server(99).open, lambda _seconds: None)
