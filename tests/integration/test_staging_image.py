# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The staging role with an image: made, grown, lost holes, moved back, taken to a new board."""

from __future__ import annotations

import os
import sys

import pytest
from integration.ansible_runs import CHECKOUT

from .staging_runs import STATE, StagingRuns

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

MIB = 1024**2
SSD_BYTES = 256 * MIB
DIGEST = (
    f"PYTHONPATH={CHECKOUT}/tests {sys.executable} -c 'import sys; from "
    "integration.tree_digest import tree_digest; print(tree_digest(sys.argv[1]))'"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> StagingRuns:
    directory = tmp_path_factory.mktemp("staging-image")
    fstab = directory / "fstab"
    fstab.write_text("# first\nUUID=1 / ext4 defaults 0 1")
    runs = StagingRuns(directory, SSD_BYTES, agent_sources=[])
    staging = f"{runs.ssd}/backup-staging"
    image = f"{staging}.img"

    def role(step: str, megabytes: int = 0, entry: str = "main", check: bool = False) -> None:
        runs.role(
            step,
            check=check,
            entry=entry,
            staging_mode="image" if megabytes else "directory",
            staging_image_bytes=megabytes * MIB,
            staging__fstab_path=str(fstab),
        )

    look = (
        f"{DIGEST} {staging}; stat -c %a {staging}; findmnt -no FSTYPE {staging}; cat {fstab}; "
        f"ls -A {runs.ssd}"
    )
    space = f"stat -c '%s %b %B' {image}; df -B1 --output=size {staging} | tail -n 1"
    role("a directory first")
    runs.shell(
        "staged",
        f"cd {staging}/daily && mkdir tree && head -c 5M /dev/urandom > tree/file && "
        f"ln tree/file ../weekly/kept && chown 999:999 tree/file && {look}",
    )
    role("check mode", 96, check=True)
    runs.shell("nothing", look)
    role("larger than the SSD", 1000)
    role("too small for what is staged", 1)
    role("image", 96)
    runs.shell("in the image", look)
    runs.shell("first size", space)
    role("image again", 96)
    role("smaller", 64)
    role("larger", 128)
    runs.shell("larger size", space)
    runs.shell("still there", look)
    role("larger again", 128)
    runs.shell("trim", f"fallocate --punch-hole --offset 100M --length 1M {image}")
    runs.shell("a hole", space)
    role("after a hole", 128)
    runs.shell("no hole", space)
    runs.shell("unmounted", f"umount {staging}")
    role("mounting it", 128)
    runs.shell("mounted", look)
    runs.shell("a night", f"flock {STATE}/run.lock sleep 900 >/dev/null 2>&1 & echo $! > night.pid")
    role("during a night")
    runs.shell("the night ends", "pkill -P $(cat night.pid); kill $(cat night.pid); rm night.pid")
    runs.shell("as it was", look)
    # Another board: its fstab knows nothing, the SSD brings the image.
    runs.shell("new board", f"umount {staging} && echo '# new board' > {fstab}")
    # Only the entry point: a play would end here, and this one goes on.
    role("directory on the new board", entry="preflight")
    role("image on the new board", 128)
    runs.shell("taken over", look)
    role("back to a directory")
    runs.shell("in the directory", look)
    role("the directory again")
    # A new host that begins with an image.
    runs.shell(
        "new host",
        f"umount {runs.ssd} && mount -o loop {directory}/two.img {runs.ssd} && rm -r {STATE}",
    )
    role("check mode on a new host", 96, check=True)
    role("image on a new host", 96)
    role("image on a new host again", 96)
    runs.shell("begun", f"findmnt -no FSTYPE {staging}; ls -A {staging}")
    runs.shell("below", f"umount {staging} && ls -A {staging}")
    runs.play()
    return runs


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("a directory first", "changed"),
        ("check mode", "changed"),
        ("larger than the SSD", "failed"),
        ("image", "changed"),
        ("image again", "unchanged"),
        ("smaller", "failed"),
        ("larger", "changed"),
        ("larger again", "unchanged"),
        ("after a hole", "changed"),
        ("mounting it", "changed"),
        ("during a night", "failed"),
        ("directory on the new board", "failed"),
        ("image on the new board", "changed"),
        ("back to a directory", "changed"),
        ("the directory again", "unchanged"),
        ("check mode on a new host", "changed"),
        ("image on a new host", "changed"),
        ("image on a new host again", "unchanged"),
    ],
)
def test_each_run_ends_as_it_should(runs: StagingRuns, step: str, outcome: str) -> None:
    assert runs.outcome(step) == outcome, runs.message(step)


def digest(runs: StagingRuns, step: str) -> str:
    return runs.said(step).partition("\n")[0]


def test_what_is_staged_comes_through_every_change(runs: StagingRuns) -> None:
    for step in ("in the image", "still there", "mounted", "taken over", "in the directory"):
        assert digest(runs, step) == digest(runs, "staged"), step
    assert "weekly/kept" in digest(runs, "staged")


def test_a_new_host_begins_in_the_image(runs: StagingRuns) -> None:
    names = [".lepotato-backup-disk", "daily", "lost+found", "weekly"]
    assert sorted(runs.said("begun").split()) == sorted(["ext4", *names])
    assert runs.said("below") == ""


def test_check_mode_tells_the_steps_and_takes_none(runs: StagingRuns) -> None:
    assert f"make {runs.ssd}/backup-staging.img with" in runs.diff("check mode")
    assert runs.said("nothing") == runs.said("staged")


def test_the_image_is_mounted_by_fstab_whose_other_lines_stay(runs: StagingRuns) -> None:
    said = runs.said("in the image").splitlines()
    assert said[1:4] == ["700", "ext4", "# first"]
    assert said[4] == "UUID=1 / ext4 defaults 0 1"
    entry = f"{runs.ssd}/backup-staging.img {runs.ssd}/backup-staging ext4 loop,"
    assert said[5].startswith(entry)
    assert "nofail" in said[5]
    assert f"x-systemd.requires-mounts-for={runs.ssd}" in said[5]
    assert "backup-staging" not in "".join(runs.said("in the directory").splitlines()[2:3])
    assert runs.said("in the directory").splitlines()[1:3] == ["700", "# new board"]
    assert "backup-staging.img" not in runs.said("in the directory")


def test_all_of_the_image_is_allocated_and_it_grows(runs: StagingRuns) -> None:
    for step, megabytes in (("first size", 96), ("larger size", 128), ("no hole", 128)):
        size, blocks, unit, room = (int(word) for word in runs.said(step).split())
        assert size == megabytes * MIB
        assert blocks * unit >= size
        assert room > 0.8 * size
    size, blocks, unit, _room = (int(word) for word in runs.said("a hole").split())
    assert blocks * unit < size


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        ("larger than the SSD", ("staging_image_bytes (1048576000) needs", "Lower")),
        ("too small for what is staged", ("at least 67108864", "staging_image_bytes")),
        ("smaller", ("staging_image_bytes (67108864) is less than", "can't shrink")),
        ("during a night", ("another run", "holds /var/lib/lepotato-backup/run.lock")),
        ("directory on the new board", ("does not mount it", "staging_mode image")),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_changed(
    runs: StagingRuns, step: str, parts: tuple[str, ...]
) -> None:
    for part in parts:
        assert part in runs.message(step)
    assert runs.said("as it was") == runs.said("mounted")
