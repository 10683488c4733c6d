# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage to stored bytes, as a failing store would do it: nothing in the metadata tells."""

from __future__ import annotations

from .bodies import WHOLE_FILE, Bodies, Segment
from .errors import bad_request
from .versions import Version, Versions


class Damager:
    """Damages one version; copies that share its bytes stay whole."""

    def __init__(self, versions: Versions, bodies: Bodies) -> None:
        self._versions = versions
        self._bodies = bodies

    def damage(self, version: Version, kind: str, offset: int) -> None:
        """Damage a version's bytes.

        ``flip`` inverts the byte at ``offset``; ``truncate`` keeps ``offset`` bytes and reports
        that size; ``delete`` loses the bytes (downloads say 404, listings still show the file);
        ``vanish`` loses the version itself.
        """
        if kind == "vanish":
            self._versions.remove(version)
            return
        if kind not in ("flip", "truncate", "delete"):
            raise bad_request("kind must be flip, truncate, delete or vanish")
        if kind != "delete" and not 0 <= offset < version.size:
            raise bad_request(f"offset must be in 0..{version.size - 1}")
        body, size = self._bodies.duplicate(self._bodies.segments(version.seq))
        path = self._bodies.path(body)
        if kind == "flip":
            with path.open("r+b") as stream:
                stream.seek(offset)
                byte = stream.read(1)
                stream.seek(offset)
                stream.write(bytes([byte[0] ^ 0xFF]))
        elif kind == "truncate":
            size = offset
            with path.open("r+b") as stream:
                stream.truncate(size)
            self._versions.set_field(version.seq, "size", size)
        else:
            path.unlink()
        self._bodies.set_segments(version.seq, WHOLE_FILE, [Segment(body, 0, size)])
