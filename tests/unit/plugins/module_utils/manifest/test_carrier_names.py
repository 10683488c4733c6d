# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names travel, and what crypt makes of their lengths."""

from __future__ import annotations

import unicodedata

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.carriers import (
    carrier_name,
    encrypted_name_bytes,
    is_odd,
)


@pytest.mark.parametrize(
    ("name_bytes", "encrypted_bytes"),
    # Measured with rclone 1.75.2 (filename_encoding = base64) for 1 and 175 bytes.
    [(1, 22), (15, 22), (16, 43), (175, 235), (176, 256), (255, 342)],
)
def test_encrypted_lengths(name_bytes: int, encrypted_bytes: int) -> None:
    assert encrypted_name_bytes(name_bytes) == encrypted_bytes


@pytest.mark.parametrize(
    "name",
    [
        b"n" * 176,
        "é".encode() * 88,
        b"a\nb",
        b"a\x7f",
        b"a\\b",
        b"\xff",
        b"a\xed\xa0\x80",
        b" a",
        b"a ",
        b"a.",
        b"a.rclonelink",
        "\u201b".encode(),
        "\u2400".encode(),
        "\u2426".encode(),
        "\uff0f".encode(),
        "\ufffd".encode(),
        "\x85".encode(),
        unicodedata.normalize("NFD", "é").encode(),
    ],
    ids=repr,
)
def test_odd_names_are_odd_wherever_they_are(name: bytes) -> None:
    assert is_odd(name)
    assert is_odd(b"tree/" + name)
    if not name.endswith(b".rclonelink"):
        assert is_odd(name + b"/file")


@pytest.mark.parametrize(
    "path",
    [
        b"n" * 175 + b"/" + b"n" * 175,
        b"-rf/#a/;b/[c]/*/?/{d}/~/'e'/$f/`g`/a%2Fb/c:d",
        b".hidden/..hidden/a b/a.b",
        b"rclonelink/.rclonelink/x",
        "日本語\uff1a名前\uff1f/ß/😀/é".encode(),
    ],
)
def test_plain_names_are_not_odd(path: bytes) -> None:
    assert not is_odd(path)
    assert carrier_name(path) == ""


def test_a_path_too_long_for_b2_once_encrypted_is_odd() -> None:
    # A part of 32 bytes becomes 64: 12 parts and their slashes make 779 bytes, 13 make 844.
    part = b"p" * 32
    assert not is_odd(b"/".join([part] * 12))
    assert is_odd(b"/".join([part] * 13))


def test_of_names_that_normalize_alike_at_most_one_travels() -> None:
    alike = {"\u212b", "\u00c5", "A\u030a"}
    assert len({unicodedata.normalize("NFC", name) for name in alike}) == 1
    assert [name for name in alike if not is_odd(name.encode())] == ["\u00c5"]


def test_carrier_names_are_plain_and_tell_paths_apart() -> None:
    one, other = carrier_name(b"a\n"), carrier_name(b"a\r")
    assert one != other
    assert not is_odd(b".carrier/" + one.encode())
