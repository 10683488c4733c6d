# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare files by what they hold."""

from __future__ import annotations

CHUNK_BYTES = 1024**2


def same_bytes(one: str, other: str) -> bool:
    """Whether two files hold the same bytes.

    Not ``filecmp.cmp``: that remembers its answer as long as size and time stay as they are, and
    here they are what is in doubt.
    """
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            chunk = first.read(CHUNK_BYTES)
            if chunk != second.read(CHUNK_BYTES):
                return False
            if not chunk:
                return True
