# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging as a directory of the SSD, or in an image file of its own, and the way between both.

What is staged lies in one of three places, and which one counts can be told at any moment:

- the image, when /etc/fstab mounts it at the staging path: that line is the switch;
- without that line, the staging directory when there is something in it;
- otherwise what was moved aside, ``STAGING.moving``: the last steps of a move are still to be done.

So an interruption at any point leaves the old place good, or the new one, and the next run goes
on. A night that starts in between finds no staging directory, or one without its sentinel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

from ..base.errors import BackupError
from ..base.progress import human_bytes
from ..filesystem.disk_usage import used_bytes
from ..filesystem.fstab import FSTAB_PATH, FstabEntry, entry_for
from ..filesystem.image_file import MEBIBYTE_BYTES, ImageFile, look_at_image
from ..filesystem.mounts import Mount, mount_holding, read_mounts
from .area import file_system_space

MODE_DIRECTORY = "directory"
MODE_IMAGE = "image"
MODE_REMOVED = "removed"
MODES = (MODE_DIRECTORY, MODE_IMAGE, MODE_REMOVED)

IMAGE_SUFFIX = ".img"
UNFINISHED_SUFFIX = ".img.unfinished"
ASIDE_SUFFIX = ".moving"
FILLING_SUFFIX = ".filling"
# All that lies beside the staging directory and belongs to it.
SUFFIXES = (IMAGE_SUFFIX, UNFINISHED_SUFFIX, ASIDE_SUFFIX, FILLING_SUFFIX)

# Smaller ones have no room for a journal.
IMAGE_BYTES_MIN = 64 * MEBIBYTE_BYTES
# What ext4 takes for itself: inodes of 256 bytes for each 16 KiB, the journal, bitmaps.
_OVERHEAD_PERCENT = 5

LOST_AND_FOUND = "lost+found"


@dataclass(frozen=True)
class ImagePlaces:
    """Where staging is mounted or is a directory, and on which SSD."""

    ssd: str
    staging: str
    fstab: str = FSTAB_PATH

    @property
    def image(self) -> str:
        """The image file."""
        return self.staging + IMAGE_SUFFIX

    @property
    def unfinished(self) -> str:
        """The image before all that is staged is in it."""
        return self.staging + UNFINISHED_SUFFIX

    @property
    def aside(self) -> str:
        """What is staged, while it is moved."""
        return self.staging + ASIDE_SUFFIX

    @property
    def filling(self) -> str:
        """Where the image is mounted while it is filled."""
        return self.staging + FILLING_SUFFIX

    @property
    def entry(self) -> FstabEntry:
        """The line of fstab: without the SSD the host boots all the same.

        What keeps holes out of the image is in it too (see :mod:`..filesystem.image_file`): after
        a growth the kernel would initialise the new inode tables in the background.
        """
        options = (
            f"loop,noatime,noinit_itable,nofail,x-systemd.requires-mounts-for={self.ssd},"
            "X-fstrim.notrim"
        )
        return FstabEntry(self.image, self.staging, "ext4", options)


class Found(NamedTuple):
    """What there is now; *has_content* is of the directory, and False below a mount."""

    image: Optional[ImageFile]
    in_fstab: bool
    is_mounted: bool
    has_content: bool
    has_aside: bool

    @property
    def aside_counts(self) -> bool:
        """The last step of a move is still to be done."""
        return self.has_aside and not (self.in_fstab or self.is_mounted or self.has_content)

    @property
    def is_taken_over(self) -> bool:
        """The image counts without a line in fstab: it came with the SSD from another board."""
        if self.image is None or not self.image.file_system_bytes:
            return False
        return self.is_mounted or not (self.has_content or self.has_aside)


class StagingPlan:
    """What there is, and what is to be done for staging to be in a mode."""

    def __init__(self, places: ImagePlaces) -> None:
        self.places = places

    def steps(self, mode: str, size_bytes: int = 0, reserve_bytes: int = 0) -> List[str]:
        """What is to be done, in words; nothing when all is as it should be.

        *reserve_bytes* must stay free on the SSD beside a new or larger image. Raises
        :class:`BackupError` for what can't be done, before anything is changed.
        """
        if mode != MODE_IMAGE and self._is_foreign_mount():
            return []
        found = self.look()
        if mode == MODE_REMOVED:
            return self._steps_to_remove(found)
        if found.has_aside and found.has_content and not found.in_fstab:
            raise BackupError(
                f"both {self.places.staging} and {self.places.aside} hold staged files, and "
                "neither is known to be the newer one",
                "Look at both and move one away",
            )
        if found.in_fstab and found.has_content:
            raise BackupError(
                f"{self.places.staging} holds files although the image is not mounted there",
                f"Look at them, move them away, and run 'mount {self.places.staging}'",
            )
        if found.in_fstab and found.image is None:
            raise BackupError(
                f"{self.places.fstab} mounts {self.places.image}, which is not there",
                "Is it the right SSD? If the image is gone for good, take the line out",
            )
        is_stray = found.image is not None and not (found.in_fstab or found.aside_counts)
        if is_stray and (found.has_content or mode == MODE_DIRECTORY):
            raise BackupError(
                f"{self.places.image} is there, but {self.places.fstab} does not mount it",
                "If it came with the SSD from another board, run site.yml with staging_mode image "
                f"(with {self.places.staging} moved away if there is something in it); if it is "
                "not needed, remove it",
            )
        entry = entry_for(self.places.staging, self.places.fstab)
        if mode == MODE_IMAGE and entry is not None and not found.in_fstab:
            raise BackupError(
                f"{self.places.fstab} mounts {entry.source} at {self.places.staging}",
                "Take the line out, or leave staging_mode at directory: a file system of its own "
                "is fine",
            )
        if mode == MODE_IMAGE:
            return self._steps_to_image(found, whole(size_bytes), reserve_bytes)
        return self._steps_to_directory(found, reserve_bytes)

    def look(self) -> Found:
        """What there is now.

        Raises :class:`BackupError` for what was not made here and is in the way.
        """
        places = self.places
        entry = entry_for(places.staging, places.fstab)
        mount = mount_holding(places.staging, read_mounts())
        is_mounted = mount is not None and mount.mount_point == places.staging
        if mount is not None and is_mounted and not self._is_ours(mount):
            raise BackupError(
                f"{mount.source} is mounted at {places.staging}, not the image {places.image}",
                "Unmount it, or leave staging_mode at directory: a file system of its own is fine",
            )
        return Found(
            image=look_at_image(places.image),
            in_fstab=entry is not None and entry.source == places.image,
            is_mounted=is_mounted,
            has_content=not is_mounted and bool(names_in(places.staging)),
            has_aside=os.path.lexists(places.aside),
        )

    def _steps_to_image(self, found: Found, size_bytes: int, reserve_bytes: int) -> List[str]:
        places, image = self.places, found.image
        steps: List[str] = []
        is_new = not (found.in_fstab or found.is_taken_over)
        if image is not None and not is_new and size_bytes < image.size_bytes:
            raise BackupError(
                f"staging_image_bytes ({size_bytes}) is less than the image {places.image} has "
                f"({image.size_bytes}), and an image can't shrink",
                "Raise the variable, or run site.yml with staging_mode directory and then again",
            )
        self._require_room_in_image(found, size_bytes)
        if is_new:
            steps.append(f"make {places.image} with {human_bytes(size_bytes)}")
            if found.has_content or found.aside_counts:
                steps.append(f"move what is in {places.staging} into it")
        if found.in_fstab and entry_for(places.staging, places.fstab) != places.entry:
            steps.append(f"correct the line of {places.staging} in {places.fstab}")
        if not found.in_fstab:
            steps.append(f"add {places.staging} to {places.fstab}")
        if not found.is_mounted:
            steps.append(f"mount {places.staging}")
        if image is not None and not is_new and size_bytes > image.size_bytes:
            steps.append(f"let {places.image} grow to {human_bytes(size_bytes)}")
        elif image is not None and not is_new and not image.is_whole:
            steps.append(f"reserve all of {places.image} again")
        if found.in_fstab and found.has_aside:
            steps.append(f"remove {places.aside}")
        missing_bytes = size_bytes - (0 if image is None else image.allocated_bytes)
        unfinished = look_at_image(places.unfinished)
        # It is given back first.
        missing_bytes -= 0 if unfinished is None else unfinished.allocated_bytes
        free_bytes = file_system_space(places.ssd).free_bytes
        if missing_bytes > 0 and missing_bytes + reserve_bytes > free_bytes:
            raise BackupError(
                f"staging_image_bytes ({size_bytes}) needs {human_bytes(missing_bytes)} on the SSD "
                f"and {human_bytes(reserve_bytes)} must stay free, but {places.ssd} has "
                f"{human_bytes(free_bytes)} left",
                "Lower staging_image_bytes, or make room: what is staged may be removed, the "
                "next night copies it anew",
            )
        return steps

    def _require_room_in_image(self, found: Found, size_bytes: int) -> None:
        if size_bytes < IMAGE_BYTES_MIN:
            raise BackupError(
                f"staging_image_bytes ({size_bytes}) must be at least {IMAGE_BYTES_MIN}",
                "An image holds the daily copy and what weekly snapshots keep",
            )
        if not (found.has_content or found.aside_counts):
            return
        held = self.places.aside if found.aside_counts else self.places.staging
        held_bytes = used_bytes(held)
        if held_bytes > size_bytes * (100 - _OVERHEAD_PERCENT) // 100:
            raise BackupError(
                f"staging_image_bytes ({size_bytes}) is too small for what is staged: {held} "
                f"holds {held_bytes} bytes",
                "Raise the variable",
            )

    def _steps_to_directory(self, found: Found, reserve_bytes: int) -> List[str]:
        places = self.places
        if found.in_fstab:
            if found.is_mounted:
                self._require_room_for_directory(reserve_bytes)
            return [
                f"copy what is in {places.image} to {places.aside}",
                f"take {places.staging} out of {places.fstab}",
                f"move {places.aside} to {places.staging}",
                f"remove {places.image}",
            ]
        if found.aside_counts:
            steps = [f"move {places.aside} to {places.staging}"]
            return [*steps, f"remove {places.image}"] if found.image else steps
        leftovers = [places.staging + suffix for suffix in SUFFIXES if suffix != ASIDE_SUFFIX]
        return [f"remove {path}" for path in leftovers if os.path.lexists(path)]

    def _require_room_for_directory(self, reserve_bytes: int) -> None:
        places = self.places
        needed_bytes = used_bytes(places.staging)
        if os.path.lexists(places.aside):
            needed_bytes -= used_bytes(places.aside)
        free_bytes = file_system_space(places.ssd).free_bytes
        if needed_bytes + reserve_bytes > free_bytes:
            raise BackupError(
                f"moving the staged files out of {places.image} needs {human_bytes(needed_bytes)} "
                f"and {human_bytes(reserve_bytes)} must stay free, but {places.ssd} has "
                f"{human_bytes(free_bytes)} left",
                "Make room on the SSD, or remove weekly snapshots",
            )

    def _steps_to_remove(self, found: Found) -> List[str]:
        places = self.places
        steps = [f"unmount {places.staging}"] if found.is_mounted else []
        if found.in_fstab:
            steps.append(f"take {places.staging} out of {places.fstab}")
        paths = [places.staging + suffix for suffix in SUFFIXES]
        return steps + [f"remove {path}" for path in paths if os.path.lexists(path)]

    def _is_foreign_mount(self) -> bool:
        mount = mount_holding(self.places.staging, read_mounts())
        if mount is None or mount.mount_point != self.places.staging:
            return False
        return not self._is_ours(mount)

    def _is_ours(self, mount: Mount) -> bool:
        name = os.path.basename(mount.source)
        try:
            with open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as stream:
                return stream.read().rstrip("\n") == os.path.realpath(self.places.image)
        except OSError:
            return False


def is_in_transit(staging: str) -> bool:
    """Whether what is staged may lie somewhere else than in the directory *staging*."""
    if os.path.ismount(staging):
        return False
    return any(os.path.lexists(staging + suffix) for suffix in (IMAGE_SUFFIX, ASIDE_SUFFIX))


def names_in(directory: str) -> Tuple[str, ...]:
    try:
        return tuple(name for name in os.listdir(directory) if name != LOST_AND_FOUND)
    except FileNotFoundError:
        return ()


def whole(size_bytes: int) -> int:
    return size_bytes // MEBIBYTE_BYTES * MEBIBYTE_BYTES
