# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts and steers a stand-in from tests (standard library only).

with StandIn.start(tmp_path) as b2:
    bucket = b2.make_bucket("my-bucket", lifecycle_rules=[...])
    key = b2.make_key(["listFiles", "readFiles", "writeFiles"], bucket="my-bucket")
    subprocess.run(["rclone", "lsf", "b2:my-bucket"], env={**os.environ, **b2.rclone_env(key)})
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 20.0
CALL_SECONDS_MAX = 120.0
_TESTS = Path(__file__).resolve().parent.parent


class StandInError(Exception):
    """The stand-in did not start, or refused an admin call."""


class Key(NamedTuple):
    """An application key."""

    application_key_id: str
    application_key: str


class Bucket(NamedTuple):
    """A bucket; ``settings`` is what b2_list_buckets shows."""

    bucket_id: str
    name: str
    settings: dict[str, Any]


class StandIn:
    """A running stand-in; ``start`` is the usual way to one."""

    def __init__(self, data_dir: Path, listen: str = "127.0.0.1:0") -> None:
        self.data_dir = data_dir
        self._listen = listen
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.account_id = ""
        self.master_key = Key("", "")
        self.launch()

    @classmethod
    @contextmanager
    def start(
        cls, data_dir: Path | str | None = None, listen: str = "127.0.0.1:0"
    ) -> Iterator[StandIn]:
        """Run a stand-in for a ``with`` block; without a directory, in a temporary one."""
        with ExitStack() as stack:
            if data_dir is None:
                # Whose it is, for whoever clears away what a killed run left.
                prefix = f"b2-standin-{os.getpid()}-"
                data_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
            stand_in = cls(Path(data_dir), listen)
            stack.callback(stand_in.stop)
            yield stand_in

    def launch(self) -> None:
        """Start the server (again), on the same port if it ran before; state is kept."""
        if self.url:
            self._listen = self.url[len("http://") :]
        self.data_dir.mkdir(parents=True, exist_ok=True)
        ready = self.data_dir / "ready.json"
        ready.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "b2_standin", "--listen", self._listen, "--data",
                str(self.data_dir), "--ready-file", str(ready), "--exit-with-parent",
            ],
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        while not ready.exists():
            if self._process.poll() is not None:
                raise StandInError(f"the stand-in ended at once: {self._process.returncode}")
            if time.monotonic() > deadline:
                self.kill()
                raise StandInError(f"the stand-in isn't ready after {START_SECONDS_MAX} s")
            time.sleep(0.02)
        values = json.loads(ready.read_text(encoding="utf-8"))
        self.url = values["url"]
        self.account_id = values["account_id"]
        self.master_key = Key(values["application_key_id"], values["application_key"])

    @property
    def pid(self) -> int:
        """The server's process ID."""
        if self._process is None:
            raise StandInError("the stand-in isn't running")
        return self._process.pid

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End the server in order (SIGTERM, then SIGKILL)."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server as kill -9 does; ``launch`` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def memory_peak_bytes(self) -> int:
        """The server's peak resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def wipe(self) -> None:
        """Be as new, but for the master key; quicker than a server for each test."""
        self.call("POST", "wipe")

    def make_bucket(
        self,
        name: str,
        lifecycle_rules: Sequence[dict[str, Any]] = (),
        **settings: Any,
    ) -> Bucket:
        """Make a private bucket; ``settings`` are further fields of b2_create_bucket."""
        answer = self.call(
            "POST", "buckets", bucketName=name, lifecycleRules=list(lifecycle_rules), **settings
        )
        return Bucket(answer["bucketId"], answer["bucketName"], answer)

    def make_key(
        self,
        capabilities: Sequence[str] | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        expires: int | None = None,
        name: str = "test",
    ) -> Key:
        """Make a key: all capabilities by default, for a bucket (name), a prefix, ``expires`` s."""
        answer = self.call(
            "POST",
            "keys",
            name=name,
            capabilities=None if capabilities is None else list(capabilities),
            buckets=None if bucket is None else [bucket],
            prefix=prefix,
            valid_seconds=expires,
        )
        return Key(answer["applicationKeyId"], answer["applicationKey"])

    def delete_key(self, key: Key | str) -> None:
        """Revoke a key and all its tokens."""
        key_id = key if isinstance(key, str) else key.application_key_id
        self.call("POST", "keys/delete", applicationKeyId=key_id)

    def expire_tokens(self) -> int:
        """Let all tokens issued so far expire; returns how many."""
        return int(self.call("POST", "tokens/expire")["expired"])

    def files(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """All versions in a bucket: names ascending, newest first; see b2_list_file_versions."""
        files: list[dict[str, Any]] = self.call("GET", "files", bucket=bucket, prefix=prefix)[
            "files"
        ]
        return files

    def stats(self) -> dict[str, Any]:
        """calls {name: n}, calls_total, classes {A, B, C}, statuses, errors, bytes_uploaded, ..."""
        return self.call("GET", "stats")

    def reset_stats(self) -> None:
        """Count from zero again."""
        self.call("POST", "stats/reset")

    def now(self) -> float:
        """The stand-in's time in seconds since the epoch."""
        return float(self.call("GET", "clock")["now_ms"]) / 1000

    def advance_clock(self, seconds: float, lifecycle: bool = True) -> dict[str, Any]:
        """Move the clock; forward, the lifecycle rules are applied after every simulated day."""
        return self.call("POST", "clock", advance_seconds=seconds, lifecycle=lifecycle)

    def set_clock(self, epoch_seconds: float, lifecycle: bool = True) -> dict[str, Any]:
        """Set the clock, in seconds since the epoch."""
        return self.call("POST", "clock", set_seconds=epoch_seconds, lifecycle=lifecycle)

    def apply_lifecycle(self) -> dict[str, Any]:
        """Apply the lifecycle rules now; returns {hidden, deleted, cancelled}."""
        return self.call("POST", "lifecycle")

    def fault(self, kind: str, calls: Sequence[str] | str = (), **values: Any) -> int:
        """Inject a fault: see ``faults.Rule`` for kinds and fields; returns the rule's ID."""
        names = [calls] if isinstance(calls, str) else list(calls)
        return int(self.call("POST", "faults", kind=kind, calls=names, **values)["rule_id"])

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, with ``matched`` and ``fired``."""
        rules: list[dict[str, Any]] = self.call("GET", "faults")["faults"]
        return rules

    def has_fired(self, rule_id: int) -> bool:
        """Whether a fault has done something to a call."""
        return any(rule["rule_id"] == rule_id and rule["fired"] for rule in self.faults())

    def clear_faults(self) -> None:
        """Drop all faults; what they delay is handled now."""
        self.call("POST", "faults/clear")

    def link(
        self,
        bytes_per_second_connection: int = 0,
        bytes_per_second_total: int = 0,
        delay_seconds: float = 0.0,
    ) -> None:
        """Shape the link; without arguments, as fast as it goes."""
        self.call(
            "POST",
            "link",
            bytes_per_second_connection=bytes_per_second_connection,
            bytes_per_second_total=bytes_per_second_total,
            delay_seconds=delay_seconds,
        )

    def damage(
        self,
        bucket: str,
        name: str,
        kind: str = "flip",
        offset: int = 0,
        file_id: str | None = None,
    ) -> None:
        """Damage the current version of a name, or a version by its ID.

        ``kind``: flip the byte at ``offset``, truncate to ``offset`` bytes, delete the bytes (the
        listing still shows the file), or let the version vanish.
        """
        self.call(
            "POST", "damage", bucket=bucket, name=name, kind=kind, offset=offset, file_id=file_id
        )

    def rclone_section(self, key: Key | None = None) -> str:
        """The body of a [remote] section of rclone.conf for this server."""
        used = key or self.master_key
        return (
            f"type = b2\naccount = {used.application_key_id}\nkey = {used.application_key}\n"
            f"endpoint = {self.url}\n"
        )

    def rclone_env(self, key: Key | None = None, remote: str = "b2") -> dict[str, str]:
        """Environment variables that define the rclone remote ``b2:`` (or another name)."""
        used = key or self.master_key
        prefix = f"RCLONE_CONFIG_{remote.upper().replace('-', '_')}_"
        return {
            f"{prefix}TYPE": "b2",
            f"{prefix}ACCOUNT": used.application_key_id,
            f"{prefix}KEY": used.application_key,
            f"{prefix}ENDPOINT": self.url,
        }

    def call(self, method: str, path: str, /, **values: Any) -> dict[str, Any]:
        """An admin call; raises StandInError with the server's message if it refuses."""
        given = {key: value for key, value in values.items() if value is not None}
        url = f"{self.url}/standin/{path}"
        data = None
        if method == "GET":
            url += "?" + urllib.parse.urlencode(given)
        else:
            data = json.dumps(given).encode()
        request = urllib.request.Request(url, data=data, method=method)
        try:
            with _OPENER.open(request, timeout=CALL_SECONDS_MAX) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise StandInError(json.load(error)["message"]) from error
        return answer


# A proxy in the environment must not come between a test and its own server.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
