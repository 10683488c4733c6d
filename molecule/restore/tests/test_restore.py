# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blank board after restore.yml: the stack answers with the old data."""

from __future__ import annotations

from typing import Any

import pytest

from tools.lab.disaster import PROJECT, rows_before
from tools.lab.lab import BOARD_FILES
from tools.lab.names import LabNames
from tools.lab.services import CHECKSUM_QUERY, SERVICES, psql, volumes_dir, wait_healthy

NAMES = LabNames("restore")
testinfra_hosts = [f"docker://{NAMES.potato}"]
Host = Any  # testinfra has no type information


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_run_and_are_healthy(service: str) -> None:
    wait_healthy(NAMES, service)


def test_the_database_answers_with_the_rows_from_before() -> None:
    assert psql(NAMES, "db", CHECKSUM_QUERY) == rows_before(NAMES)


def test_what_object_storage_loses_is_back() -> None:
    media = volumes_dir(NAMES) / "media"
    script = media / "script.sh"
    assert script.stat().st_mode & 0o777 == 0o750
    assert (script.stat().st_uid, script.stat().st_gid) == (1000, 1000)
    assert script.samefile(media / "hard-link.sh")
    assert (media / "empty").is_dir()
    assert (media / "symlink").is_symlink()


def test_compose_files_and_pihole_are_back(host: Host) -> None:
    for path in ("/etc/pihole/pihole.toml", f"{PROJECT}/.env"):
        assert host.file(path).content_string == BOARD_FILES[path]


def test_the_board_backs_itself_up_again(host: Host) -> None:
    assert host.run("/usr/local/bin/lepotato-backup run --dry-run").rc == 0
