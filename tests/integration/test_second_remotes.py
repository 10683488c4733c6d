# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second destination on a server: one that keeps modification times, and one that does not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import rclone_obscure
from b2_standin.client import StandIn

from .night_host import NightHost, mounted_ssd
from .second_place import ACCESS_KEY, PASSWORD, SECRET_KEY, Kept, change, served, use_remote

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

SECTIONS = {
    "sftp": "type = sftp\nhost = 127.0.0.1\nport = {port}\nuser = potato\nshell_type = none\n"
    f"pass = {rclone_obscure(PASSWORD)}",
    # Without directories, and what is moved is copied and deleted.
    "s3": "type = s3\nprovider = Rclone\nendpoint = http://127.0.0.1:{port}\n"
    f"access_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\nforce_path_style = true",
    # Of this vendor rclone knows no way to set a modification time.
    "webdav": "type = webdav\nurl = http://127.0.0.1:{port}\nvendor = other",
}


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_every_point_restores_from_a_server(tmp_path: Path, kind: str) -> None:
    with StandIn.start(tmp_path / "b2") as stand_in, mounted_ssd(tmp_path) as ssd:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        kept = Kept(host)
        with served(kind, tmp_path / "server") as port:
            use_remote(host, SECTIONS[kind].format(port=port))
            for number in range(3):
                kept.keep(host.night()["point"])
                change(host, number)
                time.sleep(1.1)
            kept.assert_restores()
        # The server is switched off: a warning, and it says what is tried.
        done = host.program("run", "--json")
        assert done.returncode == 3, done.stderr
        record = json.loads(done.stdout)
        assert record["second"]["point"] == list(kept.points)[-1]
        assert "the second destination has no new point since" in record["warnings"][0]
        assert "lepotato_backup_second_remote" in record["warnings"][0]
