# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from outside, so that a terminal, a log or a page shows them and obeys nothing in them."""

from __future__ import annotations

import os
import unicodedata
from typing import Union

# Of Unicode's categories those that move the cursor, reorder text or can't be shown: controls,
# invisible formats, lone surrogates (bytes that are not UTF-8), line and paragraph separators.
_UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

# B2's and Linux' names are shorter; a manifest from elsewhere may hold any.
NAME_CHARS_MAX = 400


def printable(name: Union[str, bytes]) -> str:
    """*name* with everything that a terminal would obey written as an escape, cut in the middle
    when it is longer than :data:`NAME_CHARS_MAX`."""
    text = os.fsdecode(name)
    shown = "".join(_escaped(character) for character in text)
    if len(shown) > NAME_CHARS_MAX:
        half = NAME_CHARS_MAX // 2
        shown = f"{shown[:half]}...{shown[-half:]}"
    return shown


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSHOWN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
