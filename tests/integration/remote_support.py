# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket, a key and an rclone.conf of its own for each test of the remote side."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Rclone as RcloneConfig,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.conf import (
    RemoteConf,
    read_remote,
)
from b2_standin.client import Key, StandIn

RCLONE = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
needs_rclone = pytest.mark.skipif(not os.access(RCLONE, os.X_OK), reason="needs rclone")

CAPABILITIES = ("listFiles", "readFiles", "writeFiles")
PREFIX = "potato"

_numbers = itertools.count(1)


class Remote:
    """One host's remote: ``directory`` holds its rclone.conf, ``heard`` what rclone logged."""

    def __init__(self, b2: StandIn, directory: Path) -> None:
        self.b2 = b2
        self.directory = directory
        self.bucket = f"bucket-{next(_numbers)}"
        self.conf_path = directory / "rclone.conf"
        self.heard: list[tuple[str, str]] = []
        b2.make_bucket(self.bucket)
        self.key = self.make_key()
        self.write_conf()

    def make_key(
        self,
        capabilities: Sequence[str] = CAPABILITIES,
        bucket: str | None = "",
        prefix: str | None = f"{PREFIX}/",
        **options: Any,
    ) -> Key:
        """A key, restricted to the bucket and prefix unless told otherwise."""
        return self.b2.make_key(
            capabilities, self.bucket if bucket == "" else bucket, prefix, **options
        )

    def conf(
        self,
        key: Key | None = None,
        bucket: str = "",
        password: str = "one",
        password2: str = "two",
        endpoint: str = "",
    ) -> str:
        """rclone.conf as the rclone role renders it."""
        key = key or self.key
        return (
            f"[b2-backup]\ntype = b2\naccount = {key.application_key_id}\n"
            f"key = {key.application_key}\nendpoint = {endpoint or self.b2.url}\n\n"
            f"[b2-encrypted]\ntype = crypt\nremote = b2-backup:{bucket or self.bucket}/{PREFIX}\n"
            "filename_encryption = standard\ndirectory_name_encryption = true\n"
            f"filename_encoding = base64\npassword = {rclone_obscure(password, '1')}\n"
            f"password2 = {rclone_obscure(password2, '2')}\n"
        )

    def write_conf(self, **values: Any) -> None:
        """Write :meth:`conf` to its place."""
        self.conf_path.write_text(self.conf(**values), encoding="utf-8")

    def rclone(self, **settings: Any) -> Rclone:
        """rclone as the night calls it."""
        config = RcloneConfig(binary=RCLONE, config=str(self.conf_path), **settings)
        return Rclone(
            config, SubprocessRunner(), lambda level, text: self.heard.append((level, text))
        )

    def read(self) -> RemoteConf:
        """What the configuration says."""
        return read_remote(str(self.conf_path), "b2-backup", "b2-encrypted")


def run_module(name: str, directory: Path, /, **arguments: Any) -> dict[str, Any]:
    """Run a module of the collection as Ansible does on a host: a process, JSON in and out.

    ``_ansible_check_mode=True`` and the like are passed as they are.
    """
    payload = {"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(directory), **arguments}}
    module = f"ansible_collections.lepotato.backup.plugins.modules.{name}"
    ended = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(payload),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.stdout, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def write_tree(directory: Path, files: dict[str, bytes]) -> Path:
    """Make *files* below *directory* and return it."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def read_tree(root: bytes) -> dict[bytes, bytes]:
    """The regular files below *root*: relative path to content."""
    found = {}
    for directory, _directories, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, root)] = stream.read()
    return found
