# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.lepotato.backup.plugins.module_utils.b2_calls import (
    CallCounter,
    Calls,
    calls_of,
)
from b2_standin.stats import billing_class

OUR_CALLS = (
    "b2_authorize_account",
    "b2_list_buckets",
    "b2_list_file_names",
    "b2_list_file_versions",
    "b2_list_unfinished_large_files",
    "b2_hide_file",
    "b2_cancel_large_file",
    "b2_copy_file",
    "b2_upload_file",
    "b2_download_file_by_name",
    "b2_get_file_info",
)


def test_calls_are_of_the_class_that_the_stand_in_bills() -> None:
    fields = {"A": "class_a", "B": "class_b", "C": "class_c"}
    for name in OUR_CALLS:
        assert calls_of(name) == Calls(**{fields[billing_class(name)]: 1}), name


def test_a_counter_adds_up() -> None:
    counter = CallCounter()
    counter.count("b2_hide_file")
    counter.count("b2_authorize_account")
    counter.add(Calls(10, 20, 30))
    assert counter.calls == Calls(11, 20, 31)
