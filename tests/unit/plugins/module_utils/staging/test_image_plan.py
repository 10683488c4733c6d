# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.image_file import (
    make_image,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image_plan import (
    IMAGE_BYTES_MIN,
    ImagePlaces,
    StagingPlan,
    is_in_transit,
)

pytestmark = pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4")

MIB = 1024**2


@pytest.fixture
def places(tmp_path: Path) -> ImagePlaces:
    (tmp_path / "fstab").write_text("# empty\n")
    return ImagePlaces(str(tmp_path), str(tmp_path / "staging"), str(tmp_path / "fstab"))


def image(places: ImagePlaces) -> None:
    make_image(places.image, IMAGE_BYTES_MIN, SubprocessRunner())


def content(directory: str) -> None:
    Path(directory).mkdir()
    (Path(directory) / "file").write_bytes(os.urandom(MIB))


def in_fstab(places: ImagePlaces) -> None:
    Path(places.fstab).write_text(places.entry.as_line())


def test_a_host_without_anything(places: ImagePlaces) -> None:
    plan = StagingPlan(places)
    assert plan.steps("directory") == []
    assert plan.steps("removed") == []
    steps = plan.steps("image", IMAGE_BYTES_MIN)
    assert [step.split()[0] for step in steps] == ["make", "add", "mount"]
    assert not is_in_transit(places.staging)
    with pytest.raises(BackupError, match=r"staging_image_bytes \(1048576\) must be at least"):
        plan.steps("image", MIB)
    with pytest.raises(BackupError, match=r"needs 1000\.0 TB"):
        plan.steps("image", 10**15)
    with pytest.raises(BackupError, match=r"999\.\d TB must stay free|1000\.0 TB must stay free"):
        plan.steps("image", IMAGE_BYTES_MIN, 10**15)


def test_a_directory_moves_into_an_image_that_is_large_enough(places: ImagePlaces) -> None:
    content(places.staging)
    plan = StagingPlan(places)
    steps = plan.steps("image", IMAGE_BYTES_MIN)
    assert [step.split()[0] for step in steps] == ["make", "move", "add", "mount"]
    (Path(places.staging) / "large").write_bytes(os.urandom(62 * MIB))
    with pytest.raises(BackupError, match="too small for what is staged"):
        plan.steps("image", IMAGE_BYTES_MIN)


def test_an_interrupted_move_is_finished_in_either_mode(places: ImagePlaces) -> None:
    content(places.aside)
    image(places)
    plan = StagingPlan(places)
    assert plan.look().aside_counts
    assert is_in_transit(places.staging)
    steps = plan.steps("directory")
    assert [step.split()[0] for step in steps] == ["move", "remove"]
    assert [step.split()[0] for step in plan.steps("image", IMAGE_BYTES_MIN)] == [
        *("make", "move", "add", "mount")
    ]


def test_an_image_in_fstab_that_is_not_mounted_is_mounted(places: ImagePlaces) -> None:
    image(places)
    in_fstab(places)
    plan = StagingPlan(places)
    assert plan.steps("image", IMAGE_BYTES_MIN) == [f"mount {places.staging}"]
    # What was aside when fstab got the line is the old copy.
    content(places.aside)
    assert plan.steps("image", IMAGE_BYTES_MIN)[-1] == f"remove {places.aside}"
    assert not plan.look().aside_counts
    with pytest.raises(BackupError, match="can't shrink"):
        StagingPlan(places).steps("image", IMAGE_BYTES_MIN - MIB)


def test_what_nobody_can_decide_is_an_error_in_both_modes(places: ImagePlaces) -> None:
    plan = StagingPlan(places)
    content(places.staging)
    content(places.aside)
    for mode in ("directory", "image"):
        with pytest.raises(BackupError, match="neither is known to be the newer"):
            plan.steps(mode, IMAGE_BYTES_MIN)
    shutil.rmtree(places.aside)
    image(places)
    for mode in ("directory", "image"):
        with pytest.raises(BackupError, match="does not mount it"):
            plan.steps(mode, IMAGE_BYTES_MIN)
    in_fstab(places)
    for mode in ("directory", "image"):
        with pytest.raises(BackupError, match="although the image is not mounted there"):
            plan.steps(mode, IMAGE_BYTES_MIN)
    shutil.rmtree(places.staging)
    os.unlink(places.image)
    for mode in ("directory", "image"):
        with pytest.raises(BackupError, match="which is not there"):
            plan.steps(mode, IMAGE_BYTES_MIN)


def test_somebody_elses_line_in_fstab_is_left_alone(places: ImagePlaces) -> None:
    Path(places.fstab).write_text(f"UUID=1 {places.staging} ext4 defaults 0 2\n")
    assert StagingPlan(places).steps("directory") == []
    with pytest.raises(BackupError, match="mounts UUID=1 at"):
        StagingPlan(places).steps("image", IMAGE_BYTES_MIN)


def test_removing_tells_all_that_is_there(places: ImagePlaces) -> None:
    image(places)
    in_fstab(places)
    content(places.aside)
    assert StagingPlan(places).steps("removed") == [
        f"take {places.staging} out of {places.fstab}",
        f"remove {places.image}",
        f"remove {places.aside}",
    ]
