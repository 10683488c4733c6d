# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rclone's log says, and which error it becomes."""

from __future__ import annotations

import json
from typing import Any, List, Tuple, Type

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.rclone.log import (
    FINDINGS_KEPT,
    Finding,
    LogReader,
    RcloneCapExceeded,
    RcloneDamaged,
    RcloneError,
    RcloneNetwork,
    RcloneNoSpace,
    RcloneNotFound,
    RcloneUnauthorized,
    RcloneUndecryptable,
    error_from,
)


def line(message: str, level: str = "error", **fields: Any) -> str:
    return json.dumps({"level": level, "msg": message, **fields})


def stats(**values: Any) -> str:
    return line("\nTransferred: ...", level="notice", stats=values)


def test_last_stats_count() -> None:
    seen: List[int] = []
    reader = LogReader(on_stats=lambda stats: seen.append(stats.bytes))
    reader.feed(stats(bytes=10, totalBytes=30, transfers=1, eta=2.5))
    reader.feed(stats(bytes=30, totalBytes=30, transfers=2, eta=None, serverSideCopies=4))
    result = reader.result(("rclone",), 0)
    assert seen == [10, 30]
    assert (result.stats.bytes, result.stats.transfers) == (30, 2)
    assert result.stats.server_side_copies == 4
    assert result.stats.eta_seconds is None
    assert result.errors == ()


def test_each_attempt_repeats_what_fails_and_the_last_one_counts() -> None:
    reader = LogReader()
    for number in (1, 2, 3):
        reader.feed(line("Failed to copy: denied", object="a"))
        if number == 1:
            reader.feed(line("Failed to copy: reset", object="only at first"))
        reader.feed(line(f"Attempt {number}/3 failed with 1 errors and: denied"))
    reader.feed(stats(errors=1))
    reader.feed(line("Failed to sync: denied", level="notice"))
    result = reader.result(("rclone",), 1)
    assert result.errors == (Finding("a", "Failed to copy: denied"),)
    assert result.error_count == 1


def test_a_later_attempt_that_succeeds_leaves_no_error() -> None:
    reader = LogReader()
    reader.feed(line("Failed to copy: reset", object="a"))
    reader.feed(line("Attempt 1/3 failed with 1 errors and: reset"))
    reader.feed(line("Attempt 2/3 succeeded"))
    assert reader.result(("rclone",), 0).errors == ()


def test_the_summary_is_kept_when_there_is_nothing_else() -> None:
    reader = LogReader()
    reader.feed(line('Failed to create file system for "b2-encrypted:": x', level="critical"))
    assert len(reader.result(("rclone",), 1).errors) == 1


def test_findings_are_bounded() -> None:
    reader = LogReader()
    for number in range(FINDINGS_KEPT * 3):
        reader.feed(line("Failed to copy: denied", object=f"f{number}"))
    reader.feed(stats(errors=FINDINGS_KEPT * 3))
    result = reader.result(("rclone",), 1)
    assert len(result.errors) == FINDINGS_KEPT
    assert result.error_count == FINDINGS_KEPT * 3


def test_what_is_not_json_is_an_error() -> None:
    reader = LogReader()
    reader.feed("Error: unknown flag: --nonsense\n")
    reader.feed("\n")
    reader.feed("[1, 2]")
    assert [finding.message for finding in reader.result(("rclone",), 2).errors] == [
        "Error: unknown flag: --nonsense",
        "[1, 2]",
    ]


def test_dry_run_counts_what_would_be_done() -> None:
    reader = LogReader()
    reader.feed(line("Skipped copy as --dry-run is set", "notice", skipped="copy", object="a"))
    reader.feed(line("Skipped copy as --dry-run is set", "notice", skipped="copy", object="b"))
    reader.feed(line("Skipped delete as --dry-run is set", "notice", skipped="delete", object="c"))
    result = reader.result(("rclone",), 0)
    assert result.planned == {"copy": 2, "delete": 1}
    assert result.planned_names == (("copy", "a"), ("copy", "b"), ("delete", "c"))


def test_messages_go_on_without_the_noise() -> None:
    heard: List[Tuple[str, str]] = []
    reader = LogReader(on_message=lambda level, text: heard.append((level, text)))
    reader.feed(line('Replacing invalid UTF-8 characters in "x"', "notice", object="Local"))
    reader.feed(line("Can't transfer non file/directory", "notice", object="fifo"))
    reader.feed(line("Failed to copy: denied", object="a"))
    reader.feed(line("Something odd", "notice"))
    assert heard == [("error", "a: Failed to copy: denied"), ("notice", "Something odd")]


@pytest.mark.parametrize(
    ("message", "exit_code", "kind", "hint"),
    [
        (
            "failed to authenticate: Unknown (401 unauthorized)",
            1,
            RcloneUnauthorized,
            "b2_key",
        ),
        ("you must use bucket(s) [...] with this application key", 1, RcloneUnauthorized, "b2_key"),
        ("Cannot upload (403 storage_cap_exceeded)", 7, RcloneCapExceeded, "Caps & Alerts"),
        ("Usage cap exceeded (403 cap_exceeded)", 7, RcloneCapExceeded, "Caps & Alerts"),
        ("write /x: no space left on device", 1, RcloneNoSpace, "room"),
        (
            "failed to authenticate decrypted block - bad password?",
            1,
            RcloneDamaged,
            "the passwords are right",
        ),
        ("not an encrypted file - bad magic string", 1, RcloneDamaged, "damaged"),
        (
            "undecryptable name detected: not a multiple of blocksize",
            1,
            RcloneUndecryptable,
            "lepotato_backup_password2",
        ),
        (
            "undecryptable name detected: bad PKCS#7 padding",
            1,
            RcloneUndecryptable,
            "password",
        ),
        ("dial tcp 127.0.0.1:1: connect: connection refused", 1, RcloneNetwork, "endpoint"),
        ("dial tcp: lookup api.backblazeb2.com: no such host", 1, RcloneNetwork, "name servers"),
        ("directory not found", 3, RcloneNotFound, ""),
        ("something never heard of", 1, RcloneError, "log"),
    ],
)
def test_kind_of_error(message: str, exit_code: int, kind: Type[RcloneError], hint: str) -> None:
    reader = LogReader()
    reader.feed(line(message, object="some/file"))
    error = error_from(reader.result(("rclone",), exit_code), "the upload")
    assert error.__class__ is kind
    assert message in error.message
    assert "some/file" in error.message
    assert error.message.startswith("the upload failed")
    assert hint in error.hint
    assert error.result is not None
    assert error.result.exit_code == exit_code


def test_long_lists_are_cut() -> None:
    reader = LogReader()
    for number in range(10):
        reader.feed(line("Failed to copy: denied", object=f"f{number}"))
    text = str(error_from(reader.result(("rclone",), 1), "the upload"))
    assert "f2" in text
    assert "f3" not in text
    assert "and 7 more" in text
