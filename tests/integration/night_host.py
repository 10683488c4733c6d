# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for nights in tests: a mounted SSD, sources, configuration, and a bucket of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from b2_standin.client import Key, StandIn

SSD_BYTES = 192 * 1024**2
BUCKET = "potato-bucket"
PREFIX = "potato"
# Only for what hangs, and longer than rclone may stall.
TIMEOUT_SECONDS = 600.0
DOWNLOADS = ("b2_download_file_by_id", "b2_download_file_by_name")
CAPABILITIES = ["listFiles", "readFiles", "writeFiles"]
MODULE_UTILS = "ansible_collections.lepotato.backup.plugins.module_utils"


@contextmanager
def mounted_ssd(
    directory: Path, size_bytes: int = SSD_BYTES, mkfs_options: Sequence[str] = ()
) -> Iterator[Path]:
    """An ext4 file system of its own, mounted: what the SSD is to a Potato."""
    image, mount_point = directory / "ssd.img", directory / "ssd"
    mount_point.mkdir()
    with image.open("wb") as stream:
        stream.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", *mkfs_options, image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount_point], check=True)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", mount_point], check=True)


class NightHost:
    """Runs the program as a person or cron would, in a process of its own."""

    def __init__(
        self,
        directory: Path,
        ssd: Path,
        stand_in: StandIn,
        lifecycle_rules: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.directory = directory
        self.ssd = ssd
        self.stand_in = stand_in
        self.volumes = ssd / "docker/volumes"
        self.compose = directory / "opt/docker-compose"
        self.state = directory / "state"
        self.config_path = directory / "config.json"
        self.conf_path = directory / "rclone.conf"
        for path in (self.volumes, self.compose, ssd / "backup-staging/daily", self.state):
            path.mkdir(parents=True)
        stand_in.make_bucket(BUCKET, lifecycle_rules)
        self.key = stand_in.make_key(CAPABILITIES, BUCKET, f"{PREFIX}/")
        self.write_conf(self.key)
        self.write_config()

    def write_conf(self, key: Key, password: str = "one", password2: str = "two") -> None:
        """rclone.conf as the rclone role renders it."""
        self.conf_path.write_text(
            f"[b2-backup]\n{self.stand_in.rclone_section(key)}\n"
            f"[b2-encrypted]\ntype = crypt\nremote = b2-backup:{BUCKET}/{PREFIX}\n"
            "filename_encryption = standard\ndirectory_name_encryption = true\n"
            f"filename_encoding = base64\npassword = {rclone_obscure(password)}\n"
            f"password2 = {rclone_obscure(password2)}\n",
            encoding="utf-8",
        )

    def config(self) -> dict[str, Any]:
        """config.json, without containers."""
        return {
            "host": "potato",
            "bucket": BUCKET,
            "host_prefix": PREFIX,
            "paths": {
                "ssd": str(self.ssd),
                "staging": str(self.ssd / "backup-staging"),
                "state": str(self.state),
                "log": str(self.ssd / "logs/backup-to-b2.log"),
            },
            "rclone": {
                "binary": str(rclone_binary()),
                "config": str(self.conf_path),
                "stall_timeout_seconds": 240,
            },
            "sources": [
                {"tree": "docker-volumes", "paths": [str(self.volumes)]},
                {"tree": "docker-compose", "paths": [str(self.compose)]},
            ],
            "containers": {"enabled": False},
            "guards": {"minimum_free_bytes": 0, "minimum_free_percent": 0},
            # Tests run on any day of the week.
            "weekly": {"enabled": False},
        }

    def write_config(self, **changes: Any) -> None:
        """Write config.json with some top-level keys changed."""
        self.config_path.write_text(json.dumps({**self.config(), **changes}), encoding="utf-8")

    def fill(self) -> None:
        """Sources with what object storage loses: owners, modes, links, empty directories."""
        data = self.volumes / "db/_data"
        data.mkdir(parents=True)
        (data / "base").mkdir(mode=0o700)
        (data / "empty").mkdir(mode=0o750)
        for number in range(60):
            (data / "base" / f"{number:03d}").write_bytes(os.urandom(200 + number))
        (data / "link").symlink_to("base/000")
        os.link(data / "base/001", data / "again")
        os.chown(data / "base/002", 999, 999)
        (data / "base/003").chmod(0o4711)
        (data / "odd\nname \\").write_bytes(b"odd")
        (self.compose / "compose.yml").write_text("services: {}\n", encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The program's command line."""
        return [
            sys.executable,
            "-c",
            f"import sys; from {MODULE_UTILS}.cli.main import main; sys.exit(main(sys.argv[1:]))",
            "--config",
            str(self.config_path),
            *arguments,
        ]

    def program(
        self, *arguments: str, timeout: float = TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run the program; what it said is in the result."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def night(self, *arguments: str, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
        """A night that must go well; returns its record."""
        done = self.program("run", "--json", *arguments, timeout=timeout)
        assert done.returncode == 0, done.stderr + self.log()
        record: dict[str, Any] = json.loads(done.stdout)
        return record

    @contextmanager
    def held(self, *calls: str, skip: int) -> Iterator[Callable[[], bool]]:
        """While in the block, B2 answers *skip* of *calls* and lets the others wait; whatever
        waits is handled at the end. Gives what tells whether one waits."""
        rule = self.stand_in.fault("delay", calls, seconds=TIMEOUT_SECONDS, skip=skip, count=0)
        try:
            yield lambda: self.stand_in.has_fired(rule)
        finally:
            self.stand_in.clear_faults()

    def log(self) -> str:
        """The log file on the SSD so far."""
        path = self.ssd / "logs/backup-to-b2.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def seal_of_another_board(self) -> str:
        """What a second board would seal under this prefix after the last night; its point's ID."""
        seal: dict[str, Any] = json.loads((self.state / "last_seal.json").read_text("utf-8"))
        time.sleep(1.1)
        seal["id"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        seal["board"] = "another board"
        subprocess.run(
            [
                *(rclone_binary(), "--config", self.conf_path),
                *("rcat", f"b2-encrypted:points/{seal['id']}.json"),
            ],
            check=True,
            input=json.dumps(seal),
            text=True,
        )
        time.sleep(1.1)
        return str(seal["id"])

    def rclone(self, *arguments: str) -> str:
        """Plain rclone with the host's configuration."""
        return subprocess.run(
            [rclone_binary(), "--config", self.conf_path, *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout


def rclone_binary() -> str:
    """The rclone that the test environment brings."""
    found = shutil.which("rclone", path=os.path.dirname(sys.executable)) or shutil.which("rclone")
    assert found, "rclone is missing: tools/setup installs it into .venv"
    return found


def differences(source: Path, restored: Path, *options: str) -> str:
    """What rsync would still change to make *restored* identical to *source*; "" when nothing.

    *options* of rsync leave out what is not to be compared.
    """
    return subprocess.run(
        [
            *("rsync", "-aHAXn", "--numeric-ids", "--checksum", "--delete", "-i"),
            *options,
            *(f"{source}/", f"{restored}/"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
