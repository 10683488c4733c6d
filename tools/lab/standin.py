# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The B2 stand-in as a process of the lab, with a bucket and a restricted key in it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..paths import CHECKOUT
from ..shell import ToolError
from .names import LabNames

START_SECONDS = 120
# What the nightly key may do; deletion is the bucket's lifecycle rule, never the board's.
KEY_CAPABILITIES = ("listFiles", "readFiles", "writeFiles")
DAYS_OF_HISTORY = 30


@dataclass(frozen=True)
class Account:
    """A bucket and the key that a board gets for its prefix in it."""

    url: str
    bucket: str
    key_id: str
    key: str


def start_standin(names: LabNames, bucket: str, prefix: str) -> Account:
    """Start the stand-in on a free port and make the bucket and its key.

    Raises:
        ToolError: it did not come up, or refused a call.
    """
    data, ready = _data(names), names.folder / "standin.json"
    data.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    with (names.folder / "standin.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "b2_standin", "--listen", "127.0.0.1:0"]
            + ["--data", str(data), "--ready-file", str(ready)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / "tests")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # At once: interrupted while it starts, it must be found again.
    (names.folder / "standin.pid").write_text(str(process.pid))
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ToolError(f"the stand-in did not start, see {names.folder / 'standin.log'}")
        time.sleep(0.05)
    return _make_account(json.loads(ready.read_text()), bucket, prefix)


def stop_standin(names: LabNames) -> None:
    """End the lab's stand-in; another process that got its number is left alone."""
    pid_file = names.folder / "standin.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except FileNotFoundError:
        command = ""
    if "b2_standin" in command and str(_data(names)) in command:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + START_SECONDS
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    pid_file.unlink()


def stored_names(names: LabNames, account: Account, limit: int) -> list[str]:
    """Return up to *limit* file names as they lie in the bucket, encrypted."""
    session = _Session(json.loads((names.folder / "standin.json").read_text()))
    answer = session.call(
        "b2_list_file_names",
        {"bucketId": session.bucket_id(account.bucket), "maxFileCount": limit},
    )
    return [entry["fileName"] for entry in answer["files"]]


def _data(names: LabNames) -> Path:
    return names.folder / "b2"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _make_account(ready: Mapping[str, str], bucket: str, prefix: str) -> Account:
    session = _Session(ready)
    made = session.call(
        "b2_create_bucket",
        {
            "accountId": session.account_id,
            "bucketName": bucket,
            "bucketType": "allPrivate",
            "lifecycleRules": [
                {
                    "fileNamePrefix": "",
                    "daysFromHidingToDeleting": DAYS_OF_HISTORY,
                    "daysFromUploadingToHiding": None,
                    "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
                }
            ],
        },
    )
    key = session.call(
        "b2_create_key",
        {
            "accountId": session.account_id,
            "keyName": f"{prefix}-nightly",
            "capabilities": list(KEY_CAPABILITIES),
            "bucketIds": [made["bucketId"]],
            "namePrefix": f"{prefix}/",
        },
    )
    return Account(session.url, bucket, key["applicationKeyId"], key["applicationKey"])


class _Session:
    """The account's owner, logged in to B2's native API (v4)."""

    def __init__(self, ready: Mapping[str, str]) -> None:
        self.url = ready["url"]
        pair = f"{ready['application_key_id']}:{ready['application_key']}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode()}"
        granted = self._request(f"{self.url}/b2api/v4/b2_authorize_account", None)
        self.account_id: str = granted["accountId"]
        self._authorization = granted["authorizationToken"]
        self._api_url: str = granted["apiInfo"]["storageApi"]["apiUrl"]

    def call(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call of the API."""
        return self._request(f"{self._api_url}/b2api/v4/{name}", body)

    def bucket_id(self, bucket: str) -> str:
        """Return the ID of the bucket named *bucket*."""
        listed = self.call("b2_list_buckets", {"accountId": self.account_id, "bucketName": bucket})
        found: str = listed["buckets"][0]["bucketId"]
        return found

    def _request(self, url: str, body: Any) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data=data, headers={"Authorization": self._authorization}
        )
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
                parsed: dict[str, Any] = json.load(answer)
        except OSError as error:
            raise ToolError(f"the stand-in refused {url.rpartition('/')[2]}: {error}") from error
        return parsed
