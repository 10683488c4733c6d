# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves staging into an image and back, killed at every step; in a mount namespace of its own.

    unshare --mount python staging_image_driver.py SSD_DIRECTORY FSTAB reboot|kill

For each step of a move a child is killed right before it; then, as after a power cut when told
so, everything is unmounted and what fstab names is mounted again. Then what is staged must be
whole in the one place that counts, and the next run must finish the move. Prints the steps at
which it was killed, by mode.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from integration.tree_digest import tree_digest

from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image import StagingImage
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image_plan import (
    ImagePlaces,
    StagingPlan,
)

IMAGE_BYTES = 64 * 1024**2
KILLED = 9
STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "subprocess.Popen", "shutil.rmtree")


def child(move: Callable[[], None], dies_at: int) -> tuple[int, str]:
    """Run *move* in a child that dies before its step *dies_at*: its exit code and that step."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        left = dies_at

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left == 0:
                    told = " ".join(str(one) for one in arguments[:2])
                    os.write(writer, f"{event} {told}"[:200].encode())
                    os._exit(KILLED)

        sys.addaudithook(hook)
        move()
        os._exit(0)
    os.close(writer)
    status = os.waitpid(pid, 0)[1]
    with os.fdopen(reader) as stream:
        return os.waitstatus_to_exitcode(status), stream.read()


def power_cut(places: ImagePlaces) -> None:
    """Unmount what was mounted, and mount what fstab names."""
    for path in (places.filling, places.staging):
        if os.path.ismount(path):
            subprocess.run(["umount", path], check=True)
    if places.staging in Path(places.fstab).read_text():
        os.makedirs(places.staging, exist_ok=True)
        subprocess.run(["mount", "--fstab", places.fstab, places.staging], check=True)


def place_that_counts(places: ImagePlaces) -> str:
    """Where what is staged is to be found, as the plan's rules say."""
    if StagingPlan(places).look().in_fstab and not os.path.ismount(places.staging):
        os.makedirs(places.staging, exist_ok=True)
        subprocess.run(["mount", "--fstab", places.fstab, places.staging], check=True)
    return places.aside if StagingPlan(places).look().aside_counts else places.staging


def main(ssd: str, fstab: str, after: str) -> None:
    """See the module."""
    places = ImagePlaces(ssd, f"{ssd}/backup-staging", fstab)
    image = StagingImage(places, SubprocessRunner())
    whole = tree_digest(places.staging)
    told: dict[str, list[str]] = {"image": [], "directory": []}
    for mode, other in (("image", "directory"), ("directory", "image")):
        image.apply(other, IMAGE_BYTES)
        for dies_at in range(1, 100):
            exit_code, step = child(partial(image.apply, mode, IMAGE_BYTES), dies_at)
            if exit_code == 0:
                break
            assert exit_code == KILLED, (mode, dies_at)
            told[mode].append(step)
            if after == "reboot":
                power_cut(places)
            assert tree_digest(place_that_counts(places)) == whole, (mode, step)
            image.apply(mode, IMAGE_BYTES)
            assert tree_digest(places.staging) == whole, (mode, step)
            assert StagingPlan(places).steps(mode, IMAGE_BYTES) == [], (mode, step)
            beside = sorted(set(os.listdir(ssd)) - {"lost+found"})
            wanted = ["backup-staging"] + (["backup-staging.img"] if mode == "image" else [])
            assert beside == wanted, (mode, step, beside)
            image.apply(other, IMAGE_BYTES)
        assert os.path.ismount(places.staging) is (mode == "image")
    image.apply("removed")
    shutil.rmtree(places.staging)
    assert os.listdir(ssd) == ["lost+found"]
    assert Path(fstab).read_text() == "# kept\n"
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
