# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's stream format, whole, in pieces and broken."""

from __future__ import annotations

import io
import struct
from typing import Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.docker.stream import (
    demultiplex,
    printable_log,
)


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(payload)) + payload


def split(raw: bytes, chunk_bytes: int) -> Tuple[bytes, bytes]:
    source, output, errors = io.BytesIO(raw), bytearray(), bytearray()
    demultiplex(lambda size: source.read(min(size, chunk_bytes)), output.extend, errors.extend)
    return bytes(output), bytes(errors)


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1 << 20])
def test_output_and_errors_are_told_apart(chunk_bytes: int) -> None:
    raw = frame(1, b"one\0") + frame(2, b"bad") + frame(1, b"") + frame(1, b"two")
    assert split(raw, chunk_bytes) == (b"one\0two", b"bad")


@pytest.mark.parametrize("cut", [1, 7, 9, 11])
def test_a_stream_that_breaks_off_is_an_error(cut: int) -> None:
    with pytest.raises(BackupError, match="broke off"):
        split(frame(1, b"four")[:cut], 1 << 20)


def test_no_output_is_no_error() -> None:
    assert split(b"", 10) == (b"", b"")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (frame(1, b"a\n") + frame(2, b"b\n"), "a\nb"),
        (b"from a terminal\r\nsecond\r\n", "from a terminal\nsecond"),
        (frame(1, b"a\n") + frame(1, b"cut")[:9], "a\nc"),
        (frame(1, b"\0\0\0x\0\n"), "x"),
        (b"\0" * 50, ""),
        (b"\xff\xfe\x1b[31mred\n", "��[31mred"),
        (b"", ""),
    ],
)
def test_a_log_is_printable_whatever_is_in_it(raw: bytes, text: str) -> None:
    assert printable_log(raw, 10) == text


def test_only_the_last_lines_are_kept() -> None:
    raw = b"".join(frame(1, b"%d\n" % number) for number in range(100))
    assert printable_log(raw, 3) == "97\n98\n99"
