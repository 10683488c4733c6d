# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.b2.bucket_rules import (
    CANCEL,
    DELETE,
    HIDE,
    PREFIX,
    Settings,
    Wanted,
    plan,
)
from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError

WANTED = Wanted(history_days=30, cancel_days=1)
RULE = {PREFIX: "", HIDE: None, DELETE: 30, CANCEL: 1}


def rule(**changes: Any) -> dict[str, Any]:
    return {**RULE, **changes}


def test_a_new_bucket_is_private_and_keeps_its_history() -> None:
    planned = plan(None, WANTED)
    assert planned.settings == Settings(private=True, rules=(RULE,))
    assert planned.kept == ()


def test_what_is_right_stays_as_it_is_written() -> None:
    # B2 may leave out what is not set.
    now = Settings(rules=({PREFIX: "", DELETE: 30, CANCEL: 1},))
    assert plan(now, WANTED).settings == now


def test_a_public_bucket_becomes_private() -> None:
    assert plan(Settings(private=False), WANTED).settings.private


def test_a_shorter_history_is_lengthened_and_a_longer_one_stays() -> None:
    assert plan(Settings(rules=(rule(**{DELETE: 7}),)), WANTED).settings.rules == (RULE,)
    longer = Settings(rules=(rule(**{DELETE: 90}),))
    planned = plan(longer, WANTED)
    assert planned.settings == longer
    assert "kept for 90 days, more than the 30 asked for" in planned.kept[0]
    assert plan(longer, WANTED, allow_weaker=True).settings.rules == (RULE,)


def test_a_rule_that_keeps_everything_stays() -> None:
    forever = Settings(rules=(rule(**{DELETE: None}),))
    planned = plan(forever, WANTED)
    assert planned.settings == forever
    assert "for ever" in planned.kept[0]
    assert plan(forever, WANTED, allow_weaker=True).settings.rules == (RULE,)


def test_a_rule_that_hides_current_files_is_taken_away() -> None:
    assert plan(Settings(rules=(rule(**{HIDE: 10}),)), WANTED).settings.rules == (RULE,)


def test_a_rule_that_never_deletes_is_not_given_an_end() -> None:
    hides = Settings(rules=({PREFIX: "", HIDE: 10, DELETE: None, CANCEL: None},))
    planned = plan(hides, WANTED)
    assert planned.settings.rules == (rule(**{DELETE: None}),)
    assert "for ever" in planned.kept[0]
    assert plan(hides, WANTED, allow_weaker=True).settings.rules == (RULE,)


def test_rules_for_other_files_are_left_alone() -> None:
    other = {PREFIX: "photos/", HIDE: 5, DELETE: 3, CANCEL: None}
    wanted = Wanted(history_days=30, cancel_days=1, prefix="potato/")
    planned = plan(Settings(rules=(other,)), wanted)
    assert planned.settings.rules == (other, rule(**{PREFIX: "potato/"}))


@pytest.mark.parametrize(
    ("other", "prefix"), [("potato/", ""), ("", "potato/"), ("potato/a", "potato/")]
)
def test_a_rule_for_some_of_the_same_files_is_named(other: str, prefix: str) -> None:
    wanted = Wanted(history_days=30, cancel_days=1, prefix=prefix)
    with pytest.raises(BackupError, match=f"lifecycle rule for '{other}'") as caught:
        plan(Settings(rules=(rule(**{PREFIX: other}),)), wanted)
    assert "set prefix" in caught.value.hint


def test_encryption_and_locks_are_never_taken_back() -> None:
    now = Settings(
        rules=(RULE,), encryption=True, object_lock=True, lock_mode="compliance", lock_days=60
    )
    assert plan(now, WANTED).settings == now
    asked = Wanted(history_days=30, cancel_days=1, object_lock=True, lock_days=30)
    planned = plan(now, asked)
    assert planned.settings == now
    assert "locked for 60 days" in planned.kept[0]
    weaker = plan(now, asked, allow_weaker=True).settings
    assert (weaker.lock_mode, weaker.lock_days) == ("governance", 30)
    more = Wanted(history_days=30, cancel_days=1, object_lock=True, lock_days=90)
    stronger = plan(now, more).settings
    assert (stronger.lock_mode, stronger.lock_days) == ("compliance", 90)
