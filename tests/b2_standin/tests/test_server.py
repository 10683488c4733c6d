# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server itself: state on disk, flat memory, long listings, HTTP details, API versions."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.parse
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from b2_standin.client import StandIn
from b2_standin.service import Service
from b2_standin.tests.support import (
    BUCKET,
    MIB,
    Http,
    Rclone,
    b2_api,
    basic,
    contents,
    make_tree,
    versions,
    write_file,
)

NAMES = 200_000
MEMORY_GROWTH_BYTES_MAX = 16 * MIB


def test_everything_survives_a_restart_and_kill_9(
    b2: StandIn, rclone: Rclone, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source")
    key = b2.make_key(("listFiles", "readFiles"), BUCKET)
    rclone("sync", source, f"b2:{BUCKET}/x")
    b2.advance_clock(5 * 86_400)
    before, offset = b2.files(BUCKET), b2.call("GET", "clock")["offset_ms"]
    api = b2_api(b2)
    for end in (b2.stop, b2.kill):
        end()
        b2.launch()
        assert b2.files(BUCKET) == before
        assert b2.call("GET", "clock")["offset_ms"] == offset
        rclone("check", "--download", source, f"b2:{BUCKET}/x")
        Rclone(b2, key)("check", "--download", source, f"b2:{BUCKET}/x")
        # A token from before is still good.
        assert len(list(api.list_buckets())) == 1


def test_kill_9_in_the_middle_of_uploads_loses_nothing_acknowledged(
    b2: StandIn, tmp_path: Path
) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    for number in range(30):
        bucket.upload_bytes(str(number).encode() * 100, f"file-{number:02}")
    b2.fault("slow", "b2_upload_file", bytes_per_second=4 * MIB, count=0)
    process = Rclone(b2).popen("copy", write_file(tmp_path / "big", 16 * MIB), f"b2:{BUCKET}")
    deadline = time.monotonic() + 240
    while b2.stats()["bytes_uploaded"] < MIB:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    b2.kill()
    process.kill()
    process.communicate()
    b2.launch()
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    assert [name for name, _action in versions(b2)] == [f"file-{n:02}" for n in range(30)]
    assert contents(bucket, "file-29") == b"29" * 100
    # What the killed upload had written is gone from the disk too.
    assert sum(1 for path in (b2.data_dir / "bodies").rglob("*/*") if path.is_file()) == 30


def test_memory_stays_flat_up_and_down(b2: StandIn, rclone: Rclone, tmp_path: Path) -> None:
    b2.stop()
    b2.launch()  # a fresh process: its peak is its own
    small = write_file(tmp_path / "small", MIB)
    rclone("copy", small, f"b2:{BUCKET}/small")
    rclone("copy", f"b2:{BUCKET}/small", tmp_path / "down")
    before = b2.memory_peak_bytes()
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(200 * MIB)
    rclone("copy", big, f"b2:{BUCKET}/one", "--b2-upload-cutoff", "1G")
    rclone("copy", big, f"b2:{BUCKET}/parts", "--b2-upload-cutoff", "5M", "--b2-chunk-size", "50M")
    rclone("cat", "--discard", f"b2:{BUCKET}/parts/big")
    stats = b2.stats()
    assert stats["bytes_uploaded"] >= 400 * MIB
    assert stats["bytes_downloaded"] >= 200 * MIB
    assert b2.memory_peak_bytes() - before < MEMORY_GROWTH_BYTES_MAX


def fill(data: Path, count: int) -> None:
    """Multiply the one file of a stopped stand-in's bucket, a thousand to a folder."""
    service = Service(data)
    with service.database.transaction() as connection:
        connection.execute(
            "WITH RECURSIVE numbers (n) AS"
            " (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < ? - 1)"
            " INSERT INTO files SELECT seq + n + 1, bucket_id,"
            " printf('folder-%03d/file-%06d', n / 1000, n), minus_ms, minus_seq - n - 1, action,"
            " size, sha1, content_type, info, encryption, retention, legal_hold"
            " FROM files CROSS JOIN numbers",
            (count,),
        )
    service.database.close()


def cpu_seconds(b2: StandIn) -> float:
    """The processor time of the server so far, which is the same on a busy machine."""
    fields = Path(f"/proc/{b2.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_200_000_names_are_listed_in_pages(b2: StandIn, rclone: Rclone) -> None:
    b2_api(b2).get_bucket_by_name(BUCKET).upload_bytes(b"", "alone")
    b2.stop()
    fill(b2.data_dir, NAMES)
    b2.launch()
    began = cpu_seconds(b2)
    listed = rclone("lsf", "-R", "--files-only", "--fast-list", f"b2:{BUCKET}").stdout.split()
    listing_seconds = cpu_seconds(b2) - began
    assert len(listed) == len(set(listed)) == NAMES + 1
    calls = b2.stats()["calls"]
    assert NAMES // 1000 <= calls["b2_list_file_names"] <= NAMES // 1000 + 1
    assert b2.stats()["classes"]["C"] <= NAMES // 1000 + 4
    # Folders are jumped over, not walked through.
    began = cpu_seconds(b2)
    assert len(rclone("lsf", f"b2:{BUCKET}").stdout.split()) == NAMES // 1000 + 1
    assert cpu_seconds(b2) - began < listing_seconds / 10
    b2.reset_stats()
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    in_folder = list(bucket.ls("folder-001", recursive=True, fetch_count=10_000))
    assert len(in_folder) == 1000
    assert b2.stats()["calls"]["b2_list_file_names"] == 1


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_api_version_logs_in(b2: StandIn, version: int) -> None:
    ask = Http(b2)
    status, answer, _r = ask(
        "GET", f"/b2api/v{version}/b2_authorize_account", Authorization=basic(b2)
    )
    assert status == 200
    storage = answer if version <= 2 else answer["apiInfo"]["storageApi"]
    assert len({b2.url, storage["apiUrl"], storage["downloadUrl"]}) == 3
    assert ("minimumPartSize" in storage) == (version == 1)
    assert storage["absoluteMinimumPartSize"] == 5_000_000
    allowed = storage if version == 3 else storage["allowed"]
    assert "deleteFiles" in allowed["capabilities"]
    assert ("buckets" in allowed) == (version == 4)
    assert ("bucketId" in allowed) == (version < 4)
    status, answer, _r = ask(
        "POST",
        f"{storage['apiUrl'][len(b2.url) :]}/b2api/v{version}/b2_list_buckets",
        {"accountId": b2.account_id},
        Authorization=answer["authorizationToken"],
    )
    assert [bucket["bucketName"] for bucket in answer["buckets"]] == [BUCKET]


def test_errors_are_json_and_keep_the_connection(b2: StandIn) -> None:
    ask = Http(b2)
    _status, answer, _r = ask("GET", "/b2api/v4/b2_authorize_account", Authorization=basic(b2))
    token = answer["authorizationToken"]
    socket = ask.connection.sock
    for path, body, headers, status, code in (
        ("b2_authorize_account", None, {"Authorization": "Basic bm86bm8="}, 401, "unauthorized"),
        ("b2_list_buckets", {}, {}, 401, "unauthorized"),
        ("b2_list_buckets", {}, {"Authorization": "4_x"}, 401, "bad_auth_token"),
        ("b2_list_buckets", {}, {"Authorization": token}, 400, "bad_request"),
        ("b2_list_buckets", b"no json", {"Authorization": token}, 400, "bad_json"),
        ("b2_make_coffee", {}, {"Authorization": token}, 400, "bad_request"),
        ("b2_list_file_names", {"bucketId": "0"}, {"Authorization": token}, 400, "bad_bucket_id"),
        ("b2_get_file_info", {"fileId": "4_x"}, {"Authorization": token}, 400, "bad_request"),
    ):  # fmt: skip
        got, answer, _r = ask("POST", f"/api000/b2api/v3/{path}", body, **headers)
        assert (got, answer["status"], answer["code"]) == (status, status, code), path
        assert answer["message"] is not None
    for path, status in (("/pod-000/b2api/v3/b2_upload_file/x/y", 401), ("/nowhere", 404)):
        assert ask("POST", path, b"b" * 3_000_000, Authorization="no")[0] == status
    assert ask.connection.sock is socket


def test_each_call_is_for_its_host(b2: StandIn) -> None:
    api = b2_api(b2)
    bucket = api.get_bucket_by_name(BUCKET)
    bucket.upload_bytes(b"x", "file")
    token = api.account_info.get_account_auth_token()
    upload = api.session.get_upload_url(bucket.id_)["uploadUrl"][len(b2.url) :]
    ask = Http(b2)
    for path, right, wrong in (
        (f"/b2api/v4/b2_list_buckets?accountId={b2.account_id}", "/api000", ("", "/f000")),
        (f"/file/{BUCKET}/file", "/f000", ("", "/pod-000")),
        (upload.removeprefix("/pod-000"), "/pod-000", ("", "/api000")),
    ):
        for host in wrong:
            status, _answer, _r = ask("POST" if "upload" in path else "GET", host + path,
                                      Authorization=token)  # fmt: skip
            assert status == 400, host + path
        if "upload" not in path:
            response = Http(b2).connection
            response.request("GET", right + path, headers={"Authorization": token})
            assert response.getresponse().status == 200


def test_a_listing_with_a_delimiter_goes_on_page_by_page(b2: StandIn) -> None:
    api = b2_api(b2)
    bucket = api.get_bucket_by_name(BUCKET)
    for name in ("a/1", "a/2", "b", "c/3", "c/4"):
        bucket.upload_bytes(b"x", name)
    bucket.hide_file("b")
    ask, token = Http(b2), api.account_info.get_account_auth_token()

    def pages(call: str) -> list[tuple[str, str]]:
        found = []
        start: dict[str, str | None] = {}
        while True:
            body = {"bucketId": bucket.id_, "delimiter": "/", "maxFileCount": 1, **start}
            _status, answer, _r = ask("POST", f"/api000/b2api/v2/{call}", body, Authorization=token)
            found += [(item["fileName"], item["action"]) for item in answer["files"]]
            if answer["nextFileName"] is None:
                return found
            assert len(answer["files"]) == 1
            start = {"startFileName": answer["nextFileName"]}
            if answer.get("nextFileId") is not None:
                start["startFileId"] = answer["nextFileId"]

    folders = [("a/", "folder"), ("c/", "folder")]
    assert pages("b2_list_file_names") == folders
    assert pages("b2_list_file_versions") == [
        folders[0], ("b", "hide"), ("b", "upload"), folders[1]
    ]  # fmt: skip


def test_the_date_header_follows_the_clock(b2: StandIn) -> None:
    b2.set_clock(1_900_000_000)
    _status, _answer, response = Http(b2)("GET", "/standin/health")
    shown = parsedate_to_datetime(response.headers["Date"]).timestamp()
    assert 0 <= shown - 1_900_000_000 < 60


def test_expect_100_continue_is_answered(b2: StandIn) -> None:
    session = b2_api(b2)
    upload = session.session.get_upload_url(session.get_bucket_by_name(BUCKET).id_)
    path = upload["uploadUrl"][len(b2.url) :]
    connection = http.client.HTTPConnection("127.0.0.1", b2.port, timeout=10)
    connection.putrequest("POST", path)
    for name, value in {
        "Authorization": upload["authorizationToken"],
        "Content-Length": "5",
        "Content-Type": "text/plain",
        "Expect": "100-continue",
        "X-Bz-Content-Sha1": hashlib.sha1(b"bytes").hexdigest(),
        "X-Bz-File-Name": "a+b%2Bc",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    interim = connection.sock.recv(25)
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"bytes")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["fileName"]) == (200, "a b+c")


def test_calls_are_counted_by_name_and_class_and_listings_by_thousands(b2: StandIn) -> None:
    bucket = b2_api(b2).get_bucket_by_name(BUCKET)
    b2.reset_stats()
    stored = bucket.upload_bytes(b"12345", "file")
    bucket.api.get_file_info(stored.id_)
    contents(bucket, "file")
    list(bucket.ls())
    stats = b2.stats()
    assert stats["calls"] == {
        "b2_download_file_by_name": 1,
        "b2_get_file_info": 1,
        "b2_get_upload_url": 1,
        "b2_list_file_names": 1,
        "b2_upload_file": 1,
    }
    assert stats["classes"] == {"A": 2, "B": 2, "C": 1}
    assert (stats["bytes_uploaded"], stats["bytes_downloaded"]) == (5, 5)
    b2.stop()
    fill(b2.data_dir, 2500)
    b2.launch()
    assert len(list(bucket.list_file_versions("none"))) == 0
    b2.reset_stats()
    assert len(list(bucket.ls(recursive=True, fetch_count=10_000))) == 2501
    assert b2.stats()["classes"]["C"] == 3


def test_what_a_killed_client_left_behind_is_not_counted_after_a_wipe(b2: StandIn) -> None:
    url = urllib.parse.urlsplit(b2.url)
    late = http.client.HTTPConnection(url.hostname or "", url.port)
    late.connect()
    b2.wipe()
    late.request("POST", "/b2api/v4/b2_list_file_names", b"{}", {"Authorization": "of the past"})
    with pytest.raises(http.client.RemoteDisconnected):
        late.getresponse()
    late.close()
    assert b2.stats()["calls_total"] == 0
    late.request("POST", "/b2api/v4/b2_list_file_names", b"{}", {"Authorization": "of today"})
    assert late.getresponse().status in (400, 401)
    late.close()
    assert b2.stats()["calls_total"] == 1
