# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.lepotato.backup.plugins.module_utils.b2.call_classes import (
    CallCounter,
    Calls,
)


def test_a_counter_adds_up() -> None:
    counter = CallCounter()
    counter.count("b2_hide_file")
    counter.count("b2_authorize_account")
    counter.add(Calls(10, 20, 30))
    assert counter.calls == Calls(11, 20, 31)
