# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's stream format: standard output and standard error in frames on one connection.

Each frame is one byte for the stream (1 output, 2 errors), three zero bytes, the payload's
length as four bytes big endian, and the payload (Docker Engine API, ContainerAttach).
"""

from __future__ import annotations

import struct
from typing import Callable, List

from ..base.errors import BackupError

HEADER_BYTES = 8
CHUNK_BYTES = 64 * 1024
STDERR_STREAM = 2


def discard(_chunk: bytes) -> None:
    """Where output goes that nobody wants."""


def demultiplex(
    read: Callable[[int], bytes],
    output: Callable[[bytes], object],
    errors: Callable[[bytes], object],
) -> None:
    """Read frames until the end; hand payloads on in chunks.

    *read(n)* returns 1 to n bytes, or none at the end. Raises :class:`BackupError` when the stream
    ends inside a frame.
    """
    while True:
        header = _read_exactly(read, HEADER_BYTES)
        if not header:
            return
        if len(header) < HEADER_BYTES:
            raise BackupError("the output stream from Docker broke off")
        stream, left = struct.unpack(">BxxxL", header)
        while left:
            chunk = read(min(left, CHUNK_BYTES))
            if not chunk:
                raise BackupError("the output stream from Docker broke off")
            left -= len(chunk)
            (errors if stream == STDERR_STREAM else output)(chunk)


def printable_log(raw: bytes, lines: int) -> str:
    """The last *lines* lines of a container's log, framed (no terminal) or plain (terminal).

    Unprintable characters, NUL bytes above all, are dropped; a broken frame ends the text.
    """
    collected: List[bytes] = []
    if raw[1:4] == b"\0\0\0" and raw[:1] in (b"\0", b"\1", b"\2"):
        rest = memoryview(raw)
        while len(rest) > HEADER_BYTES:
            (length,) = struct.unpack(">4xL", rest[:HEADER_BYTES])
            collected.append(bytes(rest[HEADER_BYTES : HEADER_BYTES + length]))
            rest = rest[HEADER_BYTES + length :]
    else:
        collected.append(raw)
    text = b"".join(collected).decode("utf-8", "replace")
    clean = "".join(c for c in text if c.isprintable() or c in "\n\t")
    return "\n".join(line for line in clean.splitlines()[-lines:] if line.strip())


def _read_exactly(read: Callable[[int], bytes], size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = read(size - len(parts))
        if not chunk:
            break
        parts.extend(chunk)
    return bytes(parts)
