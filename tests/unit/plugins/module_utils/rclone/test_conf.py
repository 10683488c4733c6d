# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone.conf is read without telling its secrets."""

from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.conf import (
    hide_secrets,
    masked_pair,
    parse_remote,
    read_remote,
)

CONTENT = """# Written by a role
[b2-backup]
type = b2
account = 002abc
key = K002=secret=

[b2-encrypted]
type = crypt
remote = b2-backup:my-bucket/potato
filename_encryption = standard
password = obscured-one
password2 = obscured-two
"""
SECRETS = ("002abc", "K002=secret=", "obscured-one", "obscured-two")


def test_reads_both_remotes() -> None:
    remote = parse_remote(CONTENT, "b2-backup", "b2-encrypted", "x")
    assert (remote.key_id, remote.key, remote.endpoint) == ("002abc", "K002=secret=", "")
    assert (remote.bucket, remote.prefix, remote.folder) == ("my-bucket", "potato", "potato/")
    assert "K002" not in repr(remote)


@pytest.mark.parametrize(
    ("below", "bucket", "prefix", "folder"),
    [
        ("my-bucket", "my-bucket", "", ""),
        ("my-bucket/", "my-bucket", "", ""),
        ("my-bucket/a/b/", "my-bucket", "a/b", "a/b/"),
    ],
)
def test_prefixes(below: str, bucket: str, prefix: str, folder: str) -> None:
    content = CONTENT.replace("my-bucket/potato", below)
    remote = parse_remote(content, "b2-backup", "b2-encrypted", "x")
    assert (remote.bucket, remote.prefix, remote.folder) == (bucket, prefix, folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[b2-backup]", "[other]", r"no remote \[b2-backup\]"),
        ("[b2-encrypted]", "[other]", r"no remote \[b2-encrypted\]"),
        ("type = crypt", "type = b2", "must be of type crypt"),
        ("key = K002=secret=", "key =", r"\[b2-backup\] has no key"),
        ("password = obscured-one", "", r"\[b2-encrypted\] has no password"),
        ("b2-backup:my-bucket/potato", "b2-backup:", "lepotato_backup_bucket"),
        ("b2-backup:my-bucket/potato", "elsewhere:my-bucket", "must lie over b2-backup:"),
        ("type = b2", "type b2", "line 3 is neither"),
        ("[b2-backup]", "", "line 3 is neither"),
    ],
)
def test_names_what_is_wrong(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_remote(CONTENT.replace(old, new, 1), "b2-backup", "b2-encrypted", "/etc/x.conf")
    assert "/etc/x.conf" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_missing_file(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        read_remote(f"{tmp_path}/none", "b2-backup", "b2-encrypted")


def test_not_utf8(tmp_path: object) -> None:
    path = f"{tmp_path}/rclone.conf"
    with open(path, "wb") as stream:
        stream.write(b"[b2-backup]\nkey = \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_remote(path, "b2-backup", "b2-encrypted")


def test_diff_shows_no_secret_but_which_one_changes() -> None:
    after = CONTENT.replace("K002=secret=", "K003=other").replace("standard", "off")
    old, new = masked_pair(CONTENT, after)
    assert not any(secret in old + new for secret in (*SECRETS, "K003=other"))
    assert "key = (secret, before)" in old
    assert "key = (secret, changed)" in new
    assert "account = (secret, unchanged)" in old
    assert "account = (secret, unchanged)" in new
    assert "filename_encryption = standard" in old
    assert "filename_encryption = off" in new
    assert "# Written by a role" in new


def test_diff_of_a_new_file() -> None:
    old, new = masked_pair("", CONTENT)
    assert old == ""
    assert "password = (secret, changed)" in new


def test_diff_does_not_show_lines_that_are_none() -> None:
    old, _new = masked_pair("RCLONE_ENCRYPT_V0:\nc2VjcmV0\n", CONTENT)
    assert "c2VjcmV0" not in old


def test_hide_secrets() -> None:
    facts = {"msg": "key K002=secret= is bad", "command": ["x", "obscured-one"], "rc": 1}
    assert hide_secrets(facts, CONTENT) == {
        "msg": "key ******** is bad",
        "command": ["x", "********"],
        "rc": 1,
    }


SECOND = """[second-backup]
type = sftp
host = nas.example.net
port = 22
user = potato
pass = obscured-three
disable_hashcheck = true
url = https://somebody:plain@nas.example.net
"""


def test_only_known_options_of_another_remote_are_shown() -> None:
    _old, new = masked_pair("", SECOND)
    assert "host = nas.example.net" in new
    assert "pass = (secret, changed)" in new
    assert "url = (secret, changed)" in new
    assert "plain" not in new


def test_the_secrets_of_another_remote_are_hidden_and_plain_words_are_not() -> None:
    facts = {"msg": "true: obscured-three for potato at nas.example.net"}
    assert hide_secrets(facts, SECOND) == {"msg": "true: ******** for potato at nas.example.net"}
