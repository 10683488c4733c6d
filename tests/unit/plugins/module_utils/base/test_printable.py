# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.printable import (
    NAME_CHARS_MAX,
    printable,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"/srv/caf\xc3\xa9 1.txt", "/srv/caf\u00e9 1.txt"),
        (b"a\x1b[2Jb\nc", "a\\x1b[2Jb\\nc"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        (b"not utf-8 \xff", "not utf-8 \\xff"),
        ("left \u202e right", "left \\u202e right"),
        ("two\u2028lines", "two\\u2028lines"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


def test_a_very_long_name_is_cut_in_the_middle() -> None:
    shown = printable("begin" + "x" * 5000 + "end")
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert len(shown) <= NAME_CHARS_MAX + 3
