# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The B2 client against a server that answers from a script; see tests/integration for the rest."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.b2.api import B2Client
from ansible_collections.lepotato.backup.plugins.module_utils.b2.errors import (
    B2BadKey,
    B2CapExceeded,
    B2Denied,
    B2Error,
    B2Unreachable,
    B2WrongBucket,
)

SECRET = "K002verysecret"
Answer = Tuple[int, Any, Dict[str, str]]


class Script:
    """Answers by path: the next of a list, its last for ever."""

    def __init__(self) -> None:
        self.answers: Dict[str, List[Answer]] = {}
        self.asked: List[Tuple[str, Any, Optional[str]]] = []
        self.url = ""

    def add(self, call: str, status: int, body: Any, **headers: str) -> None:
        self.answers.setdefault(call, []).append(
            (status, body, {name.replace("_", "-"): value for name, value in headers.items()})
        )

    def authorize(self, token: str = "token-1", **allowed: Any) -> None:
        body = {
            "accountId": "acc",
            "authorizationToken": token,
            "applicationKeyExpirationTimestamp": None,
            "apiInfo": {
                "storageApi": {
                    "apiUrl": self.url,
                    "downloadUrl": self.url,
                    "allowed": {
                        "buckets": [{"id": "b1", "name": "mine"}, {"id": "b2", "name": None}],
                        "capabilities": ["listFiles"],
                        "namePrefix": "potato/",
                        **allowed,
                    },
                }
            },
        }
        self.add("b2_authorize_account", 200, body)

    def calls(self) -> List[str]:
        return [call for call, _body, _token in self.asked]


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(json.loads(self.rfile.read(length)))

        def _answer(self, body: Any) -> None:
            call = self.path.rpartition("/")[2]
            script.asked.append((call, body, self.headers["Authorization"]))
            answers = script.answers[call]
            status, reply, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            """Be quiet."""

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    httpd.shutdown()
    thread.join()
    httpd.server_close()


class Sleeps(List[float]):
    """Stands for time.sleep and remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client(server: Script, sleep: Optional[Sleeps] = None, attempts: int = 4) -> B2Client:
    return B2Client(
        "002id",
        SECRET,
        server.url,
        attempts=attempts,
        sleep=Sleeps() if sleep is None else sleep,
        timeout_seconds=5,
    )


def test_authorization(server: Script) -> None:
    server.authorize()
    b2 = client(server)
    found = b2.authorize()
    assert found.capabilities == ("listFiles",)
    assert found.buckets == {"mine": "b1"}
    assert found.name_prefix == "potato/"
    assert found.expires_at is None
    assert found.clock_skew_seconds is not None
    assert abs(found.clock_skew_seconds) < 5
    assert "token-1" not in repr(found)
    assert SECRET not in repr(b2) + str(vars(found))


def test_unrestricted_key_asks_for_its_bucket(server: Script) -> None:
    server.authorize(buckets=None, namePrefix=None)
    server.add("b2_list_buckets", 200, {"buckets": [{"bucketName": "mine", "bucketId": "b9"}]})
    b2 = client(server)
    assert b2.bucket_id("mine") == "b9"
    assert server.asked[-1][1] == {"accountId": "acc", "bucketName": "mine"}
    with pytest.raises(B2WrongBucket, match="lepotato_backup_bucket"):
        b2.bucket_id("other")


def test_restricted_key_names_its_bucket(server: Script) -> None:
    server.authorize()
    with pytest.raises(B2WrongBucket, match=r"'other' can't be used: .* restricted to 'mine'"):
        client(server).bucket_id("other")


def test_wrong_key(server: Script) -> None:
    server.add("b2_authorize_account", 401, {"code": "unauthorized", "message": ""})
    with pytest.raises(B2BadKey, match="lepotato_backup_b2_key_id") as caught:
        client(server).authorize()
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert server.calls() == ["b2_authorize_account"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_is_tried_again_with_growing_pauses(server: Script, status: int) -> None:
    server.add("b2_authorize_account", status, {"code": "busy", "message": "busy"})
    server.add("b2_authorize_account", status, b"<html>not json</html>")
    server.authorize()
    sleeps = Sleeps()
    assert client(server, sleeps).authorize().account_id == "acc"
    assert sleeps == [1.0, 2.0]


def test_retry_after_is_kept_within_bounds(server: Script) -> None:
    server.add("b2_authorize_account", 429, {"code": "too_many_requests"}, Retry_After="7")
    server.add("b2_authorize_account", 503, {"code": "busy"}, Retry_After="86400")
    server.add("b2_authorize_account", 503, {"code": "busy"}, Retry_After="Wed, 21 Oct 2026")
    server.authorize()
    sleeps = Sleeps()
    client(server, sleeps).authorize()
    assert sleeps == [7.0, 60.0, 1.0]


def test_gives_up_in_the_end(server: Script) -> None:
    server.add("b2_authorize_account", 503, {"code": "busy", "message": "no tomes"})
    sleeps = Sleeps()
    with pytest.raises(B2Error, match=r"503: no tomes.*try again later"):
        client(server, sleeps, attempts=3).authorize()
    assert len(sleeps) == 2


def test_expired_token_is_renewed_once(server: Script) -> None:
    server.authorize("token-1")
    server.authorize("token-2")
    server.add("b2_hide_file", 401, {"code": "expired_auth_token", "message": "old"})
    server.add("b2_hide_file", 200, {"done": True})
    assert client(server).call("b2_hide_file", {}) == {"done": True}
    assert [token for call, _body, token in server.asked if call == "b2_hide_file"] == [
        "token-1",
        "token-2",
    ]


def test_revoked_key_is_a_bad_key(server: Script) -> None:
    server.authorize()
    server.add("b2_authorize_account", 401, {"code": "unauthorized", "message": ""})
    server.add("b2_hide_file", 401, {"code": "bad_auth_token", "message": "unknown"})
    with pytest.raises(B2BadKey):
        client(server).call("b2_hide_file", {})


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (401, "unauthorized", B2Denied, "listFiles, readFiles and writeFiles"),
        (403, "access_denied", B2Denied, "listFiles"),
        (403, "storage_cap_exceeded", B2CapExceeded, "Caps & Alerts"),
        (403, "cap_exceeded", B2CapExceeded, "Caps & Alerts"),
        (400, "bad_request", B2Error, "lepotato_backup_b2_endpoint"),
    ],
)
def test_refusals_are_not_repeated(
    server: Script, status: int, code: str, kind: Type[B2Error], words: str
) -> None:
    server.authorize()
    server.add("b2_hide_file", status, {"code": code, "message": "no"})
    with pytest.raises(B2Error, match=words) as caught:
        client(server).call("b2_hide_file", {})
    assert caught.value.__class__ is kind
    assert (caught.value.status, caught.value.code) == (status, code)
    assert server.calls().count("b2_hide_file") == 1
    assert "token-1" not in str(caught.value) + repr(caught.value)


def test_pages_are_followed_to_the_end(server: Script) -> None:
    def page(names: List[str], **more: Any) -> Dict[str, Any]:
        files = [{"fileName": name, "fileId": f"id-{name}", "action": "upload"} for name in names]
        return {"files": files, **more}

    server.authorize()
    server.add("b2_list_file_versions", 200, page(["a"], nextFileName="a", nextFileId="id-2"))
    server.add("b2_list_file_versions", 200, page(["a", "b"], nextFileName=None, nextFileId=None))
    found = [item.name for item in client(server).list_file_versions("mine", "potato/")]
    assert found == ["a", "a", "b"]
    second = server.asked[-1][1]
    assert (second["startFileName"], second["startFileId"]) == ("a", "id-2")
    assert (second["bucketId"], second["prefix"]) == ("b1", "potato/")


def test_cancels_every_unfinished_file_after_listing_them(server: Script) -> None:
    server.authorize()
    first = {"files": [{"fileName": "x", "fileId": "1"}], "nextFileId": "2"}
    second = {"files": [{"fileName": "y", "fileId": "2"}], "nextFileId": None}
    server.add("b2_list_unfinished_large_files", 200, first)
    server.add("b2_list_unfinished_large_files", 200, second)
    server.add("b2_cancel_large_file", 200, {})
    assert client(server).cancel_unfinished("mine", "potato/") == ["x", "y"]
    assert server.calls()[1:] == [
        "b2_list_unfinished_large_files",
        "b2_list_unfinished_large_files",
        "b2_cancel_large_file",
        "b2_cancel_large_file",
    ]


@pytest.mark.parametrize("left", [[], [{"fileName": "y", "fileId": "2"}]])
def test_what_is_gone_when_it_is_cancelled_is_no_error(
    server: Script, left: List[Dict[str, str]]
) -> None:
    server.authorize()
    both = [{"fileName": "x", "fileId": "1"}, {"fileName": "y", "fileId": "2"}]
    server.add("b2_list_unfinished_large_files", 200, {"files": both, "nextFileId": None})
    server.add("b2_list_unfinished_large_files", 200, {"files": left, "nextFileId": None})
    server.add("b2_cancel_large_file", 200, {})
    gone = {"status": 400, "code": "bad_request", "message": "No active upload for: 2"}
    server.add("b2_cancel_large_file", 400, gone)
    if left:
        with pytest.raises(B2Error, match="No active upload"):
            client(server).cancel_unfinished("mine", "potato/")
    else:
        assert client(server).cancel_unfinished("mine", "potato/") == ["x", "y"]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"[]", b"{}", b'{"apiInfo": {"storageApi": null}}']
)
def test_another_server_is_not_taken_for_b2(server: Script, body: bytes) -> None:
    server.add("b2_authorize_account", 200, body)
    with pytest.raises(B2Unreachable, match="lepotato_backup_b2_endpoint"):
        client(server).authorize()


def test_redirects_are_not_followed(server: Script) -> None:
    server.add("b2_authorize_account", 302, b"", Location="/elsewhere")
    with pytest.raises(B2Error, match="302"):
        client(server).authorize()
    assert server.calls() == ["b2_authorize_account"]


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sleeps = Sleeps()
    b2 = B2Client("id", SECRET, f"http://127.0.0.1:{port}", attempts=3, sleep=sleeps)
    with pytest.raises(B2Unreachable, match=f"127.0.0.1:{port}.*refused") as caught:
        b2.authorize()
    assert sleeps == [1.0, 2.0]
    assert SECRET not in repr(caught.value)


def test_silence_ends_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        b2 = B2Client("id", SECRET, url, attempts=1, timeout_seconds=0.2)
        with pytest.raises(B2Unreachable, match="timed out"):
            b2.authorize()
