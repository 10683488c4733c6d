# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP front: routes requests, applies faults and the slow link, counts."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import hosts, transfers
from .admin import Admin
from .api import Api
from .api_accounts import basic_user
from .bodies import CHUNK_BYTES
from .calls import Call
from .errors import B2Error, bad_request, not_found
from .faults import Plan
from .names import decode
from .params import Params
from .service import Service
from .wire import ClientGone, ConnectionResetWanted, Meter, RequestBody

JSON_BYTES_MAX = 16 * 1024 * 1024
DRAIN_BYTES_MAX = 256 * 1024 * 1024  # an unwanted body longer than that closes the connection
IDLE_SECONDS_MAX = 600
_ANSWERED_BY_RESET = 0  # what the statistics show as the status of a reset connection


class Server(ThreadingHTTPServer):
    """Listens; one thread a connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, Handler)
        self.service = service
        self.api = Api(service)
        self.admin = Admin(service)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection, and note in its address before which wipe that was.

        Those that were made before a wipe are accepted before the one that brings it.
        """
        request, address = super().get_request()
        return request, (*address, self.service.generation)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours; anything else is shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is to be reset goes without the polite FIN."""
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        if struct.unpack("ii", linger)[0]:
            self.close_request(request)
        else:
            super().shutdown_request(request)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "b2-standin"
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS_MAX
    server: Server

    def do_GET(self) -> None:
        """Serve a request."""
        self._serve()

    def do_HEAD(self) -> None:
        """Serve a request."""
        self._serve()

    def do_POST(self) -> None:
        """Serve a request."""
        self._serve()

    def handle_expect_100(self) -> bool:
        """Let the client send its body, at once (the writer is buffered)."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header follows the moved clock."""
        if timestamp is None:
            timestamp = self.server.service.clock.now_ms() / 1000
        return formatdate(timestamp, usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request: the statistics count them."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self._call = "unknown"
        self._billed = 1
        self._plan = Plan()
        self._status = _ANSWERED_BY_RESET
        self._code: str | None = None
        self._is_counted = False
        self._is_admin = url.path.startswith("/standin/")
        if self._is_of_the_past:
            self.close_connection = True
            return
        if not self._is_admin:
            self.server.service.stats.begin()
        try:
            self._body = self._request_body()
            try:
                self._route(url.path, dict(parse_qsl(url.query, keep_blank_values=True)))
            except B2Error as error:
                self._code = error.code
                if not self._body.drain(DRAIN_BYTES_MAX):
                    self.close_connection = True
                self._send_json(error.status, error.body(), error.headers)
            self.wfile.flush()
        except ConnectionResetWanted:
            self._status = _ANSWERED_BY_RESET
            self._reset()
        except (ClientGone, ConnectionError, TimeoutError):
            self._status = _ANSWERED_BY_RESET
            self.close_connection = True
        finally:
            self._count_call()

    @property
    def _is_of_the_past(self) -> bool:
        """Whether all was wiped since: a client that was killed may have left a request behind."""
        generation = self.client_address[-1]
        return not self._is_admin and generation != self.server.service.generation

    def _count_call(self) -> None:
        """Count the request, once, and before its answer is out: the client may ask at once."""
        if not self._is_admin and not self._is_counted and not self._is_of_the_past:
            self._is_counted = True
            self.server.service.stats.end(self._call, self._status, self._code, self._billed)

    def _request_body(self) -> RequestBody:
        length = self.headers.get("Content-Length") or "0"
        return RequestBody(self.rfile, int(length) if length.isdigit() else 0)

    def _route(self, path: str, query: dict[str, str]) -> None:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise B2Error(411, "length_required", "Content-Length is required")
        self._host, path = hosts.split(path)
        parts = path.split("/", 3)
        if self._is_admin:
            values = {**query, **self._read_json(None)}
            answer = self.server.admin.handle(self.command, path[len("/standin/") :], values)
            self._send_json(200, answer)
        elif parts[1] == "file" and len(parts) == 4 and self.command in ("GET", "HEAD"):
            self._download("b2_download_file_by_name", query, parts[2], parts[3])
        elif parts[1] == "b2api" and len(parts) == 4 and parts[2] in ("v1", "v2", "v3", "v4"):
            self._api(parts[3], int(parts[2][1:]), query)
        else:
            raise not_found(f"no such path: {path}")

    def _api(self, path: str, version: int, query: dict[str, str]) -> None:
        name = path.split("/")[0]
        if name == "b2_download_file_by_id":
            self._download(name, query)
        elif name in ("b2_upload_file", "b2_upload_part") and self.command == "POST":
            self._upload(name, version, path.split("/")[1] if "/" in path else "")
        else:
            self._call = name
            hosts.check(self._host, name)
            self._begin(None)
            reset_after = self._plan.reset_after_bytes
            values = {**query, **self._read_json(self._meter(reset_after, "in"))}
            if reset_after is not None:
                raise ConnectionResetWanted
            call = Call(name, version, Params(values), self._authorization(query), self._base_url())
            answer = self.server.api.handle(call)
            self._billed = call.billed
            self._send_json(200, answer)

    def _upload(self, name: str, version: int, target: str) -> None:
        """Take an upload; ``target`` is the ID of the bucket or large file in its URL."""
        self._call = name
        hosts.check(self._host, name)
        service = self.server.service
        authorization = self.headers.get("Authorization")
        self._begin(self.headers.get("X-Bz-File-Name"))
        meter = self._meter(self._plan.reset_after_bytes, "in", "uploaded")
        kind = "upload" if name == "b2_upload_file" else "part"
        token = service.accounts.check_token(authorization, kind)
        with service.upload_tokens.used(authorization or ""):
            if name == "b2_upload_file":
                answer = transfers.upload_file(
                    service, token, self.headers, self._body, meter, version, target
                )
            else:
                answer = transfers.upload_part(
                    service, token, self.headers, self._body, meter, target
                )
        self._send_json(200, answer)

    def _download(
        self, name: str, query: dict[str, str], bucket_name: str = "", encoded_name: str = ""
    ) -> None:
        self._call = name
        hosts.check(self._host, name)
        service = self.server.service
        authorization, range_ = self._authorization(query), self.headers.get("Range")
        file_name = decode(encoded_name)
        if name == "b2_download_file_by_id":
            params = Params({**query, **self._read_json(None)})
            self._begin(params.optional_text("fileId"))
            download = transfers.download_by_id(
                service, authorization, params.text("fileId"), range_
            )
        else:
            self._begin(file_name)
            download = transfers.download_by_name(
                service, authorization, decode(bucket_name), file_name, range_
            )
        self.send_response(download.status)
        for header, value in download.headers.items():
            self.send_header(header, value)
        self.end_headers()
        self._status = download.status
        if self.command == "HEAD":
            return
        meter = self._meter(self._plan.reset_after_bytes, "out", "downloaded")
        left = sum(segment.length for segment in download.segments)
        for piece in service.bodies.read(download.segments):
            left -= len(piece)
            self._send_piece(piece, meter, is_last=not left)
        meter.check_reset()

    def _begin(self, file_name: str | None) -> None:
        """Delay the call and make it fail if that is the plan."""
        service = self.server.service
        authorization = self.headers.get("Authorization")
        key_id = service.accounts.token_key_id(authorization) or basic_user(authorization)
        self._plan = service.faults.plan(self._call, key_id, file_name)
        link_seconds = service.shaper.link.delay_seconds
        if link_seconds:
            time.sleep(link_seconds)
        self._plan.wait()
        if self._plan.error is not None:
            raise self._plan.error

    def _meter(self, reset_after_bytes: int | None, *kinds: str) -> Meter:
        service = self.server.service

        def count(passed: int) -> None:
            for kind in kinds:
                service.stats.add_bytes(kind, passed)

        rate = self._plan.bytes_per_second
        return Meter(
            service.shaper.pacers(rate), service.shaper.piece_bytes(rate), count, reset_after_bytes
        )

    def _send_piece(self, piece: bytes, meter: Meter, is_last: bool) -> None:
        view = memoryview(piece)
        while view:
            meter.check_reset()
            part = view[: meter.allowance()]
            view = view[len(part) :]
            meter.count(len(part))
            if is_last and not view and not meter.is_reset_due():
                self._count_call()
            self.wfile.write(part)
            if len(part) < CHUNK_BYTES:
                self.wfile.flush()
            meter.pace(len(part))

    def _send_json(
        self, status: int, answer: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        if self._plan.is_response_lost:
            raise ConnectionResetWanted
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self._status = status
        if self.command == "HEAD":
            return
        if self._is_admin:
            self.wfile.write(data)
        else:
            self._send_piece(data, self._meter(None, "out"), is_last=True)

    def _read_json(self, meter: Meter | None) -> dict[str, Any]:
        if self._body.length > JSON_BYTES_MAX:
            raise bad_request("the JSON body is too large")
        data = b""
        while self._body.left:
            data += self._body.read(CHUNK_BYTES, meter)
        if not data:
            return {}
        try:
            values = json.loads(data)
        except ValueError as error:
            raise B2Error(400, "bad_json", f"the body isn't JSON: {error}") from error
        if not isinstance(values, dict):
            raise B2Error(400, "bad_json", "the body isn't a JSON object")
        return values

    def _authorization(self, query: dict[str, str]) -> str | None:
        return self.headers.get("Authorization") or query.get("Authorization")

    def _base_url(self) -> str:
        """The server as this client reaches it: through localhost, a bridge or a forwarded port."""
        host = self.headers.get("Host")
        if host is None:
            address, port = self.server.server_address[:2]
            host = f"{address!s}:{port}"
        return f"http://{host}"

    def _reset(self) -> None:
        """Make the close of the connection send RST instead of FIN."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
