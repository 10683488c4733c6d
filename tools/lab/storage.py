# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board's SSD: an ext4 file system of its own on a loop device, root only."""

from __future__ import annotations

import os

from ..shell import ToolError, run
from .names import LabNames

SIZE_BYTES = 6 * 1024**3  # sparse: takes what is written


def create_ssd(names: LabNames) -> None:
    """Make the image and mount it.

    Raises:
        ToolError: no loop device is to be had, or not root.
    """
    image = names.folder / "ssd.img"
    with image.open("wb") as stream:
        os.truncate(stream.fileno(), SIZE_BYTES)
    # Nothing of it must survive a crash: without a journal it is made and used faster.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image)])
    names.ssd.mkdir(parents=True)
    run(["mount", "-o", "loop,noatime", str(image), str(names.ssd)])


def destroy_ssd(names: LabNames) -> None:
    """Unmount and delete the SSD, however far its making had come."""
    if names.ssd.is_mount():
        done = run(["umount", str(names.ssd)], check=False)
        if done.returncode != 0:
            # A process still holds it; lazily it goes as soon as that one ends.
            run(["umount", "-l", str(names.ssd)])
    for folder in (names.ssd, names.ssd.parent):
        if folder.is_dir():
            try:
                folder.rmdir()
            except OSError as error:
                raise ToolError(f"{folder} is not empty and stays: {error}") from error
    (names.folder / "ssd.img").unlink(missing_ok=True)
