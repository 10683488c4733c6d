# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request bodies and the ways a connection ends early."""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedIOBase

from .bodies import CHUNK_BYTES
from .shaping import Pacer


class ConnectionResetWanted(Exception):
    """A fault asks for the connection to be reset now."""


class ClientGone(Exception):
    """The client closed the connection in the middle of a body."""


class Meter:
    """Slows, counts and cuts the bytes of one body, in one direction."""

    def __init__(
        self,
        pacers: list[Pacer],
        piece_bytes: int,
        count: Callable[[int], None],
        reset_after_bytes: int | None = None,
    ) -> None:
        self._pacers = pacers
        self._count = count
        self._left_before_reset = reset_after_bytes
        self.piece_bytes = piece_bytes

    def allowance(self) -> int:
        """How many bytes may be moved next."""
        if self._left_before_reset is None:
            return self.piece_bytes
        return min(self.piece_bytes, self._left_before_reset)

    def count(self, count: int) -> None:
        """Account for bytes; before they are sent, so that their receiver finds them counted."""
        self._count(count)
        if self._left_before_reset is not None:
            self._left_before_reset -= count

    def pace(self, count: int) -> None:
        """Wait as long as bytes take on a slow link."""
        for pacer in self._pacers:
            pacer.wait(count)

    def is_reset_due(self) -> bool:
        """Whether the bytes before a planned reset have passed."""
        return self._left_before_reset is not None and self._left_before_reset <= 0

    def check_reset(self) -> None:
        """Raise ConnectionResetWanted if it is due."""
        if self.is_reset_due():
            raise ConnectionResetWanted


class RequestBody:
    """The body of a request, read in pieces."""

    def __init__(self, stream: BufferedIOBase, length: int) -> None:
        self._stream = stream
        self.length = length
        self.left = length

    def read(self, limit: int, meter: Meter | None = None) -> bytes:
        """Up to ``limit`` bytes, empty at the end; raises ClientGone, ConnectionResetWanted."""
        if meter is not None:
            meter.check_reset()
            limit = min(limit, meter.allowance())
        wanted = min(limit, self.left)
        if not wanted:
            return b""
        piece = self._stream.read(wanted)
        if len(piece) < wanted:
            raise ClientGone
        self.left -= len(piece)
        if meter is not None:
            meter.count(len(piece))
            meter.pace(len(piece))
        return piece

    def drain(self, limit: int) -> bool:
        """Read and forget what is left, so that keep-alive goes on; False if it is too much."""
        if self.left > limit:
            return False
        while self.left:
            self.read(CHUNK_BYTES)
        return True
