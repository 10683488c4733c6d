# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a night says of stored bytes, calls and cost, against what the stand-in has and counted."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.b2.call_classes import Calls, calls_of
from b2_standin.stats import billing_class

from .night_host import BUCKET, NightHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

FILES = 300
# rclone's share is an estimate: it was exact in each of these nights with rclone 1.75.2, and
# another version may open a path with a call more. Ten paths are opened at most.
CALLS_MORE_OR_LESS = 10
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


def night(host: NightHost) -> dict[str, Any]:
    """A night whose calls are those that the stand-in counted; returns its cost."""
    time.sleep(1.1)
    host.stand_in.reset_stats()
    cost: dict[str, Any] = host.night()["cost"]
    classes = host.stand_in.stats()["classes"]
    for letter in "ABC":
        told, counted = cost["calls"][f"class_{letter.lower()}"], classes.get(letter, 0)
        assert abs(told - counted) <= CALLS_MORE_OR_LESS, (cost["calls"], classes)
    return cost


def assert_counted(host: NightHost, cost: dict[str, Any]) -> None:
    assert cost["estimated"] is False
    bytes_of_all = sum(int(file["contentLength"] or 0) for file in host.stand_in.files(BUCKET))
    assert cost["stored"]["total"] == bytes_of_all


def test_calls_and_bytes_are_those_that_b2_bills(host: NightHost) -> None:
    many = host.volumes / "many"
    many.mkdir()
    for number in range(FILES):
        (many / str(number)).write_bytes(b"%d" % number)
    (many / "large").write_bytes(os.urandom(2 * 1024**2))

    first = night(host)
    assert_counted(host, first)
    assert (first["stored"]["history"], first["stored"]["copies"]) == (0, 0)

    unchanged = night(host)
    assert unchanged["estimated"] is True
    grown = unchanged["stored"]["total"] - first["stored"]["total"]
    manifest = (host.state / "manifest.jsonl.gz").stat().st_size
    assert manifest < grown < manifest + 4096

    (many / "large").write_bytes(os.urandom(1024**2))
    (many / "1").unlink()
    changed = night(host)
    assert 2 * 1024**2 < changed["stored"]["history"] < 2.1 * 1024**2

    (host.state / "bucket.json").unlink()
    reconciled = night(host)
    assert_counted(host, reconciled)
    # The estimate of the night before was right but for one manifest and seal more.
    assert abs(reconciled["stored"]["total"] - changed["stored"]["total"]) < manifest + 8192
    assert reconciled["counted_at"] > changed["counted_at"]

    today = datetime.now(timezone.utc).astimezone().date().weekday()
    host.write_config(weekly={"weekday": str(today), "mode": "copy"})
    weekly = night(host)
    assert_counted(host, weekly)
    assert weekly["calls"]["class_c"] > FILES
    assert weekly["stored"]["copies"] > 1024**2
    assert weekly["stored"]["history"] == reconciled["stored"]["history"]


def test_a_cost_above_the_limit_is_a_warning_once_and_shown_always(host: NightHost) -> None:
    host.write_config(cost={"storage_usd_per_tb_month": 1e12, "free_storage_gb": 0})
    warned = host.program("run", "--json")
    assert warned.returncode == 3, warned.stderr
    record = json.loads(warned.stdout)
    assert "agent_cost_monthly_limit_usd" in record["warnings"][0]
    # For a month it is in the record and in the status, and the night is good.
    assert "more than agent_cost_monthly_limit_usd" in host.night()["cost"]["warning"]
    status = host.program("status")
    assert status.returncode == 0
    assert "warning: the bucket costs about" in status.stdout
    assert "class C" in status.stdout
    told = json.loads(host.program("status", "--json").stdout)["cost"]
    assert told["stored"]["current"] > 0
    assert told["calls"]["class_c"] > 0
    # With prices that are right again nothing is said any more.
    host.write_config()
    assert "warning" not in host.program("status").stdout


def test_a_night_that_failed_keeps_its_calls(host: NightHost) -> None:
    host.night()
    host.stand_in.fault("cap_exceeded", "b2_upload_file", count=0)
    assert host.program("run").returncode == 1
    told = json.loads(host.program("status", "--json").stdout)["cost"]
    assert told["calls"]["class_c"] > 0
    assert told["stored"]["current"] > 0


def test_a_count_that_fails_is_a_warning_and_the_next_night_counts(host: NightHost) -> None:
    host.stand_in.fault("cap_exceeded", "b2_list_file_versions", count=0)
    done = host.program("run", "--json")
    assert done.returncode == 3, done.stderr
    record = json.loads(done.stdout)
    assert "what is stored was not counted" in record["warnings"][0]
    assert record["point"]
    assert record["cost"]["stored"] is None
    assert "asked B2" in host.program("status").stdout
    host.stand_in.clear_faults()
    assert_counted(host, night(host))


def test_calls_are_of_the_class_that_the_stand_in_bills() -> None:
    fields = {"A": "class_a", "B": "class_b", "C": "class_c"}
    for name in OUR_CALLS:
        assert calls_of(name) == Calls(**{fields[billing_class(name)]: 1}), name
