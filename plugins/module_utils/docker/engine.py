# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Docker client: the engine's HTTP API over its Unix socket, standard library only.

The docker command costs a process start for each call, which on the board is most of the time a
service is down; the engine itself answers in milliseconds. Works with engines from Docker
20.10 (API 1.41) on: the version is negotiated, since Docker 29 refuses what is older than 1.44
and an older engine refuses what is newer than itself.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import quote, urlencode

from ..base.errors import BackupError
from .stream import demultiplex, discard, printable_log

# The newest API that this client was written against; an engine that speaks less is asked in
# its own version, one whose minimum is above it in that minimum.
NEWEST_API_VERSION = (1, 51)

# Lists and inspects take milliseconds; a board with a dying disk may take long and still answer.
CALL_TIMEOUT_SECONDS = 60.0
# How much longer than the container's own stop time-out the engine may take to answer a stop.
STOP_SLACK_SECONDS = 60.0
# Engine restarts take seconds; asked this often until it is back.
REACHABLE_POLL_SECONDS = 0.2
# A tail is for a person's eyes; the engine may send long lines.
LOG_BYTES_MAX = 64 * 1024

STDERR_KEPT_BYTES = 4096


class DockerError(BackupError):
    """The engine refused; *status* is its HTTP status, None when there was no answer."""

    def __init__(self, message: str, hint: str = "", status: Optional[int] = None) -> None:
        super().__init__(message, hint)
        self.status = status


class NoSuchContainer(DockerError):
    """There is no container of that name or ID (any more)."""


class DockerUnreachable(DockerError):
    """No engine answers at the socket."""


class ExecResult(NamedTuple):
    """How a command in a container ended; *stderr* is its last few kilobytes as text."""

    exit_code: int
    stderr: str


class DockerClient:
    """One engine, reached through its socket; each call is a connection of its own.

    Single connections survive an engine that restarts in the middle of a night.
    """

    def __init__(
        self, socket_path: str, *, call_timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> None:
        self.socket_path = socket_path
        self.call_timeout_seconds = call_timeout_seconds
        self._version: Optional[str] = None

    def api_version(self) -> str:
        """The API version in use, like ``1.41``; asks the engine once."""
        if self._version is None:
            answer = self._call("GET", "/version", versioned=False)
            newest = _parse_version(answer["ApiVersion"])
            oldest = _parse_version(answer.get("MinAPIVersion", "1.12"))
            self._version = ".".join(map(str, max(min(newest, NEWEST_API_VERSION), oldest)))
        return self._version

    def wait_until_reachable(self, timeout_seconds: float) -> None:
        """Return once the engine answers; :class:`DockerUnreachable` when it does not in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._call("GET", "/version", versioned=False)
                return
            except DockerError as error:
                # While it starts, the socket is missing, refuses, or answers with a 5xx.
                if time.monotonic() >= deadline:
                    # pylint does not see what DockerError is derived from.
                    raise DockerUnreachable(  # pylint: disable=bad-exception-cause
                        f"Docker does not answer at {self.socket_path} "
                        f"after {timeout_seconds:g} s: {error.message}",
                        "See 'systemctl status docker'",
                    ) from error
                time.sleep(REACHABLE_POLL_SECONDS)

    def list_ids(self) -> List[str]:
        """The IDs of all containers, stopped ones too."""
        return [item["Id"] for item in self._call("GET", "/containers/json", query={"all": "1"})]

    def inspect(self, container: str) -> Dict[str, Any]:
        """The engine's whole description of one container."""
        found: Dict[str, Any] = self._call("GET", f"/containers/{_segment(container)}/json")
        return found

    def inspect_all(self) -> List[Dict[str, Any]]:
        """Inspect every container; one that is removed meanwhile is left out."""
        found = []
        for identity in self.list_ids():
            try:
                found.append(self.inspect(identity))
            except NoSuchContainer:
                continue
        return found

    def volumes(self) -> List[Dict[str, Any]]:
        """All volumes with their drivers and options."""
        found: List[Dict[str, Any]] = self._call("GET", "/volumes")["Volumes"] or []
        return found

    def stop(self, container: str, timeout_seconds: int) -> None:
        """Stop a container and return when it is down; one that is down already is fine.

        The engine kills it when it is still running after *timeout_seconds*.
        """
        self._call(
            "POST",
            f"/containers/{_segment(container)}/stop",
            query={"t": str(timeout_seconds)},
            timeout_seconds=timeout_seconds + STOP_SLACK_SECONDS,
        )

    def start(self, container: str) -> None:
        """Start a container; one that runs already is fine."""
        self._call("POST", f"/containers/{_segment(container)}/start")

    def logs_tail(self, container: str, lines: int) -> str:
        """The last *lines* lines a container wrote, as printable text.

        Never raises for a log that can't be read: the text then says so. A power cut can leave
        NUL bytes in the engine's JSON log, which then reads as empty or broken.
        """
        try:
            raw = self._read(
                "GET",
                f"/containers/{_segment(container)}/logs",
                query={"stdout": "1", "stderr": "1", "tail": str(lines)},
                limit_bytes=LOG_BYTES_MAX,
            )
        except DockerError as error:
            return f"(its log can't be read: {error.message})"
        return printable_log(raw, lines) or "(its log is empty or unreadable)"

    def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        timeout_seconds: float,
        output: Callable[[bytes], object] = discard,
        stdin: Optional[BinaryIO] = None,
    ) -> ExecResult:
        """Run *command* in a running container; its standard output goes to *output* in chunks.

        Memory stays flat however much it writes. *stdin* is read to its end and sent.
        Raises :class:`DockerError` when the container does not run, or when the command has
        not ended after *timeout_seconds* (it is cut off from its output then).
        """
        created = self._call(
            "POST",
            f"/containers/{_segment(container)}/exec",
            body={
                "AttachStdin": stdin is not None,
                "AttachStdout": True,
                "AttachStderr": True,
                "Tty": False,
                "Cmd": list(command),
            },
        )
        stderr = bytearray()

        def keep(chunk: bytes) -> None:
            stderr.extend(chunk)
            del stderr[:-STDERR_KEPT_BYTES]

        identity = created["Id"]
        self._attach(identity, output, keep, stdin, timeout_seconds)
        ended = self._call("GET", f"/exec/{identity}/json")
        if ended["Running"] or ended["ExitCode"] is None:
            raise DockerError(f"the output of {command[0]} in {container} broke off")
        return ExecResult(ended["ExitCode"], stderr.decode("utf-8", "replace").strip())

    def _attach(
        self,
        exec_id: str,
        output: Callable[[bytes], object],
        errors: Callable[[bytes], object],
        stdin: Optional[BinaryIO],
        timeout_seconds: float,
    ) -> None:
        deadline = time.monotonic() + timeout_seconds
        connection = self._connect(timeout_seconds)
        try:
            channel = connection.sock
            response = self._send(
                connection, "POST", f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}
            )
            self._raise_for_status(response)
            feeder = None
            if stdin is not None:
                feeder = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
                feeder.start()

            def read(size: int) -> bytes:
                channel.settimeout(max(0.001, deadline - time.monotonic()))
                return response.read1(size)

            demultiplex(read, output, errors)
            if feeder is not None:
                feeder.join()
        except socket.timeout as error:
            raise DockerError(f"the command did not end within {timeout_seconds:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, str]] = None,
        body: Optional[Mapping[str, Any]] = None,
        timeout_seconds: Optional[float] = None,
        versioned: bool = True,
    ) -> Any:
        raw = self._read(
            method,
            path,
            query=query,
            body=body,
            timeout_seconds=timeout_seconds,
            versioned=versioned,
        )
        return json.loads(raw) if raw else None

    def _read(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, str]] = None,
        body: Optional[Mapping[str, Any]] = None,
        timeout_seconds: Optional[float] = None,
        versioned: bool = True,
        limit_bytes: Optional[int] = None,
    ) -> bytes:
        target = path + (f"?{urlencode(query)}" if query else "")
        timeout = timeout_seconds or self.call_timeout_seconds
        prefix = f"/v{self.api_version()}" if versioned else ""
        connection = self._connect(timeout)
        try:
            response = self._send(connection, method, prefix + target, body, prefixed=True)
            self._raise_for_status(response)
            return response.read(limit_bytes)
        except socket.timeout as error:
            raise DockerError(f"Docker did not answer '{target}' within {timeout:g} s") from error
        except http.client.IncompleteRead as error:
            # A log that the engine can't decode to its end: what came is worth showing.
            if limit_bytes is not None:
                return error.partial
            raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_seconds: float) -> _UnixConnection:
        connection = _UnixConnection(self.socket_path, timeout_seconds)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise self._unreachable(error) from error
        return connection

    def _send(
        self,
        connection: _UnixConnection,
        method: str,
        path: str,
        body: Optional[Mapping[str, Any]],
        *,
        prefixed: bool = False,
    ) -> http.client.HTTPResponse:
        target = path if prefixed else f"/v{self.api_version()}{path}"
        if body is None:
            connection.request(method, target)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request(method, target, json.dumps(body).encode(), headers)
        return connection.getresponse()

    def _unreachable(self, error: Exception) -> DockerUnreachable:
        return DockerUnreachable(
            f"Docker can't be reached at {self.socket_path}: {str(error) or type(error).__name__}",
            "Is Docker running? Correct agent_docker_socket, or for a host without containers set "
            "agent_containers_enabled to false, and run site.yml",
        )

    @staticmethod
    def _raise_for_status(response: http.client.HTTPResponse) -> None:
        # 304: already stopped or started, which is what was asked for.
        if response.status < 300 or response.status == 304:
            return
        raw = response.read()
        try:
            reason = str(json.loads(raw)["message"])
        except (ValueError, KeyError, TypeError):
            reason = raw.decode("utf-8", "replace").strip() or response.reason
        kind = NoSuchContainer if response.status == 404 else DockerError
        raise kind(f"Docker says: {reason}", status=response.status)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self.socket_path = socket_path
        self.sock: socket.socket

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.socket_path)


def _feed(channel: socket.socket, stdin: BinaryIO) -> None:
    try:
        for chunk in iter(lambda: stdin.read(64 * 1024), b""):
            channel.sendall(chunk)
        channel.shutdown(socket.SHUT_WR)
    except OSError:
        # The command closed its input early: its exit code tells whether that was an error.
        return


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _segment(container: str) -> str:
    return quote(container, safe="")
