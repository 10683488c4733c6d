# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The staging role and the identity of disks: a new host, a swap, a new board."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .staging_runs import STATE, StagingRuns

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting disks needs root")

SSD_BYTES = 32 * 1024**2
SENTINEL = "backup-staging/.lepotato-backup-disk"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> StagingRuns:
    directory = tmp_path_factory.mktemp("staging")
    ssd = directory / "ssd"
    volumes = f"{ssd}/docker/volumes"
    runs = StagingRuns(
        directory, SSD_BYTES, agent_sources=[{"tree": "docker-volumes", "paths": [volumes]}]
    )
    look = f"cat {STATE}/disks.json; head -n 1 {ssd}/{SENTINEL}"
    runs.shell("a source", f"mkdir -p {volumes}/one")
    runs.role("check mode on a new host", check=True)
    runs.shell("nothing", f"ls -A {ssd} /var/lib")
    runs.role("first")
    runs.shell("made", look)
    runs.role("second")
    both = [{"tree": "all", "paths": [volumes, str(directory)]}]
    runs.role("another source", staging_sources=both)
    runs.shell("another", f"cat {STATE}/disks.json")
    runs.role("the source is gone again")
    runs.shell("swap", f"umount {ssd} && mount -o loop {directory}/two.img {ssd}")
    runs.shell("before", f"ls -A {ssd}; cat {STATE}/disks.json")
    runs.role("preflight after the swap", entry="preflight")
    runs.role("run after the swap")
    runs.shell("after", f"ls -A {ssd}; cat {STATE}/disks.json")
    runs.role("check mode of accepting", check=True, staging_accept_new_disks=True)
    runs.role("accepting", staging_accept_new_disks=True)
    runs.shell("accepted", look)
    runs.role("after it was accepted")
    runs.shell("new board", f"rm {STATE}/disks.json")
    runs.role("an SSD with its sentinel on a new board")
    runs.shell("adopted", look)
    runs.play()
    return runs


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("check mode on a new host", "changed"),
        ("first", "changed"),
        ("second", "unchanged"),
        ("another source", "changed"),
        ("the source is gone again", "changed"),
        ("preflight after the swap", "failed"),
        ("run after the swap", "failed"),
        ("check mode of accepting", "changed"),
        ("accepting", "changed"),
        ("after it was accepted", "unchanged"),
        ("an SSD with its sentinel on a new board", "changed"),
    ],
)
def test_each_run_ends_as_it_should(runs: StagingRuns, step: str, outcome: str) -> None:
    assert runs.outcome(step) == outcome, runs.message(step)


def test_check_mode_shows_the_record_and_writes_nothing(runs: StagingRuns) -> None:
    assert '"sources"' in runs.diff("check mode on a new host")
    assert "backup-staging" not in runs.said("nothing")
    assert "lepotato-backup" not in runs.said("nothing")


def test_the_record_tells_the_ssd_the_sources_and_the_sentinel(
    runs: StagingRuns, tmp_path: Path
) -> None:
    text, _newline, sentinel = runs.said("made").rpartition("\n")
    record = json.loads(text)
    assert record["sentinel"] == sentinel
    assert record["ssd"]["mount_point"] == str(runs.ssd)
    assert list(record["sources"]) == [f"{runs.ssd}/docker/volumes"]
    assert str(runs.directory) in json.loads(runs.said("another"))["sources"]


def test_a_plain_run_after_a_swap_fails_before_it_changes_anything(runs: StagingRuns) -> None:
    for step in ("preflight after the swap", "run after the swap"):
        assert f"the SSD, {runs.ssd}/docker/volumes: expected" in runs.message(step)
        assert "-e staging_accept_new_disks=true" in runs.message(step)
    assert runs.said("before") == runs.said("after")


def test_an_ssd_is_taken_with_its_sentinel(runs: StagingRuns) -> None:
    made, accepted = runs.said("made"), runs.said("accepted")
    assert made.splitlines()[-1] != accepted.splitlines()[-1]
    assert runs.said("adopted") == accepted
