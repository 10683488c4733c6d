# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token that rclone has renewed in rclone.conf outlives the next run of the role."""

from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.second.conf import settled_content


def token(name: str, hour: int) -> str:
    return f'{{"access_token":"{name}","expiry":"2026-11-22T{hour:02d}:00:00Z"}}'


def conf(text: str, root: str = "x") -> str:
    return f"[second-backup]\ntype = drive\nroot_folder_id = {root}\ntoken = {text}\n"


def test_without_a_token_the_content_is_the_content() -> None:
    plain = "[second-backup]\ntype = sftp\n"
    assert settled_content(plain + "\n", plain, "rclone.conf") == plain
    assert settled_content("", conf(token("given", 1)), "rclone.conf") == conf(token("given", 1))


def test_a_renewed_token_stays_and_with_it_the_file() -> None:
    before = "\n" + conf(token("renewed", 2)) + "\n"
    assert settled_content(before, conf(token("given", 1)), "rclone.conf") == before


def test_a_renewed_token_goes_into_a_changed_file() -> None:
    wanted = conf(token("given", 1), root="y")
    settled = settled_content(conf(token("renewed", 2)), wanted, "rclone.conf")
    assert settled == conf(token("renewed", 2), root="y")


@pytest.mark.parametrize(
    "before", [conf(token("old", 1)), conf("not JSON"), "RCLONE_ENCRYPT_V0:\nabc\n", ""]
)
def test_a_newer_token_that_is_given_replaces_the_old_one(before: str) -> None:
    wanted = conf(token("given", 2))
    assert settled_content(before, wanted, "rclone.conf") == wanted


def test_what_is_no_configuration_is_an_error() -> None:
    with pytest.raises(ConfigError, match="line 1 is neither"):
        settled_content("", "nonsense\n", "rclone.conf")
