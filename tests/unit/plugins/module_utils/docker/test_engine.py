# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker client against a small engine on a Unix socket: versions, refusals, broken answers.

What a real engine does is tested with one in the integration tests; here are the versions and
accidents that the machine's own engine does not have.
"""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.docker.engine import (
    DockerClient,
    DockerError,
    DockerUnreachable,
    NoSuchContainer,
)

Answer = Tuple[int, Any]
Engine = Callable[[Dict[str, Answer]], Tuple[DockerClient, List[str]]]

VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture(name="engine")
def make_engine(tmp_path: Path) -> Iterator[Engine]:
    servers: List[SocketServer] = []

    def start(answers: Dict[str, Answer]) -> Tuple[DockerClient, List[str]]:
        asked: List[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                path = self.path.split("?")[0]
                status, body = answers.get(path, (404, {"message": f"page not found: {path}"}))
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_GET  # noqa: N815 # the base class's name

            def log_message(self, format: str, *args: object) -> None:
                """Nothing to the terminal."""

            def address_string(self) -> str:
                return "socket"

        path = str(tmp_path / "docker.sock")
        server = SocketServer(path, Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return DockerClient(path, call_timeout_seconds=2), asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("newest", "oldest", "used"),
    [
        ("1.41", "1.12", "1.41"),  # Docker 20.10
        ("1.44", "1.24", "1.44"),  # Docker 25
        ("1.52", "1.44", "1.51"),  # Docker 29
        ("1.70", "1.60", "1.60"),
    ],
)
def test_the_version_is_one_that_both_sides_speak(
    engine: Engine, newest: str, oldest: str, used: str
) -> None:
    client, asked = engine(
        {
            "/version": (200, {"ApiVersion": newest, "MinAPIVersion": oldest}),
            f"/v{used}/containers/x/json": (200, {"Id": "x"}),
        }
    )
    assert client.inspect("x") == {"Id": "x"}
    assert client.inspect("x") == {"Id": "x"}
    assert asked == ["/version", *[f"/v{used}/containers/x/json"] * 2]


def test_refusals_carry_the_engines_words(engine: Engine) -> None:
    client, _asked = engine(
        {
            "/version": (200, VERSION),
            "/v1.41/containers/x/start": (500, {"message": "port is already allocated"}),
            "/v1.41/containers/y/start": (502, b"<html>bad gateway</html>"),
            "/v1.41/containers/z/start": (304, b""),
        }
    )
    with pytest.raises(DockerError, match="Docker says: port is already allocated") as caught:
        client.start("x")
    assert caught.value.status == 500
    with pytest.raises(DockerError, match="bad gateway"):
        client.start("y")
    client.start("z")
    with pytest.raises(NoSuchContainer, match="page not found"):
        client.start("unknown")


def test_a_container_that_goes_away_between_list_and_inspect_is_left_out(engine: Engine) -> None:
    client, _asked = engine(
        {
            "/version": (200, VERSION),
            "/v1.41/containers/json": (200, [{"Id": "here"}, {"Id": "gone"}]),
            "/v1.41/containers/here/json": (200, {"Id": "here"}),
        }
    )
    assert client.inspect_all() == [{"Id": "here"}]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((200, b"\1\0\0\0\0\0\0\6hello\n"), "hello"),
        ((200, b"\0" * 4096), "(its log is empty or unreadable)"),
        (
            (500, {"message": "invalid character '\\x00'"}),
            "(its log can't be read: Docker says: inv",
        ),
    ],
)
def test_a_log_never_fails_the_reading(engine: Engine, answer: Answer, text: str) -> None:
    client, asked = engine({"/version": (200, VERSION), "/v1.41/containers/x/logs": answer})
    assert client.logs_tail("x", 5).startswith(text)
    assert asked[-1].endswith("/logs?stdout=1&stderr=1&tail=5")


def test_no_engine_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    client = DockerClient(path)
    with pytest.raises(DockerUnreachable, match=rf"can't be reached at {path}.*Is Docker running"):
        client.list_ids()
    with pytest.raises(DockerUnreachable, match=r"does not answer at .* after 0.1 s"):
        client.wait_until_reachable(0.1)


def test_an_engine_that_starts_meanwhile_is_waited_for(tmp_path: Path, engine: Engine) -> None:
    client = DockerClient(str(tmp_path / "docker.sock"))
    timer = threading.Timer(0.3, lambda: engine({"/version": (200, VERSION)}))
    timer.start()
    client.wait_until_reachable(240)
    timer.join()
    assert client.api_version() == "1.41"


def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:

    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(DockerError, match=r"did not answer '/version' within 0.2 s"):
            DockerClient(path, call_timeout_seconds=0.2).list_ids()
