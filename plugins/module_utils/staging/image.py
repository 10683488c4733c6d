# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring staging to a mode; :mod:`.image_plan` tells what that takes and why it is safe."""

from __future__ import annotations

import contextlib
import os
import shutil

from ..base.errors import BackupError
from ..filesystem.atomic_write import sync_directory
from ..filesystem.fstab import FSTAB_PATH, drop_entry, entry_for, put_entry
from ..filesystem.image_file import look_at_image, make_image, reserve
from ..filesystem.mounts import Mount, mount_holding, read_mounts
from ..process.runner import Runner
from .image_plan import (
    LOST_AND_FOUND,
    MODE_IMAGE,
    MODE_REMOVED,
    SUFFIXES,
    ImagePlaces,
    StagingPlan,
    names_in,
    whole,
)

_COPY = (
    *("rsync", "-aHAX", "--numeric-ids", "--sparse", "--delete", "--modify-window=-1"),
    f"--exclude=/{LOST_AND_FOUND}",
)
# e2fsck(8): nothing to correct, and all corrected.
_E2FSCK_GOOD = (0, 1)
_SYSTEMD_RUNS = "/run/systemd/system"


class StagingImage:
    """Does what a :class:`.StagingPlan` tells. The caller holds the lock of runs."""

    def __init__(self, places: ImagePlaces, runner: Runner) -> None:
        self.places = places
        self._plan = StagingPlan(places)
        self._runner = runner

    def apply(self, mode: str, size_bytes: int = 0, reserve_bytes: int = 0) -> None:
        """Do what :meth:`steps` told.

        Raises :class:`BackupError` or :class:`OSError`; what was staged is whole then, in the old
        place or in the new one.
        """
        if not self._plan.steps(mode, size_bytes, reserve_bytes):
            return
        self._stop_filling()
        if mode == MODE_REMOVED:
            self._remove()
            return
        if self._plan.look().aside_counts:
            self._take_back()
        if mode == MODE_IMAGE:
            self._to_image(whole(size_bytes))
        else:
            self._to_directory()

    def _to_image(self, size_bytes: int) -> None:
        places, found = self.places, self._plan.look()
        if not (found.in_fstab or found.is_taken_over):
            self._make(size_bytes, found.has_content)
        if entry_for(places.staging, places.fstab) != places.entry:
            put_entry(places.entry, places.fstab)
            self._reload_systemd()
        self._mount()
        self._grow(size_bytes)
        if os.path.lexists(places.aside):
            shutil.rmtree(places.aside)

    def _make(self, size_bytes: int, has_content: bool) -> None:
        """Make the image; what is staged is in it and aside after that."""
        places = self.places
        _unlink(places.unfinished)
        try:
            make_image(places.unfinished, size_bytes, self._runner)
            if has_content:
                self._fill()
        except BaseException:
            # The SSD gets back what the attempt took.
            _unlink(places.unfinished)
            raise
        if has_content:
            os.rename(places.staging, places.aside)
        os.sync()
        os.rename(places.unfinished, places.image)
        sync_directory(places.ssd)

    def _to_directory(self) -> None:
        places = self.places
        _unlink(places.unfinished)
        if not self._plan.look().in_fstab:
            return
        self._mount()
        self._copy(places.staging, places.aside)
        self._unmount(places.staging)
        if names_in(places.staging):
            self._mount()
            raise BackupError(
                f"below the mounted image, {places.staging} holds files of its own",
                f"Run 'umount {places.staging}', look at them and move them away",
            )
        drop_entry(places.staging, places.fstab)
        self._reload_systemd()
        self._take_back()

    def _take_back(self) -> None:
        """Let what was moved aside be the staging directory; an image does not count then."""
        places = self.places
        _unlink(places.image)
        if os.path.isdir(places.staging):
            os.rmdir(places.staging)
        os.rename(places.aside, places.staging)
        sync_directory(places.ssd)

    def _remove(self) -> None:
        places, found = self.places, self._plan.look()
        if found.is_mounted:
            self._unmount(places.staging)
        if found.in_fstab:
            drop_entry(places.staging, places.fstab)
            self._reload_systemd()
        for suffix in SUFFIXES:
            path = places.staging + suffix
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)

    def _fill(self) -> None:
        """Copy the directory into the image, which nothing else mounts yet."""
        places = self.places
        os.makedirs(places.filling, mode=0o700, exist_ok=True)
        self._runner.run(["mount", "-o", "loop", places.unfinished, places.filling])
        try:
            self._copy(places.staging, places.filling)
        finally:
            self._stop_filling()

    def _stop_filling(self) -> None:
        filling = self.places.filling
        if os.path.ismount(filling):
            self._unmount(filling)
        if os.path.isdir(filling):
            os.rmdir(filling)

    def _copy(self, source: str, target: str) -> None:
        """Make *target* equal to *source*; raises :class:`BackupError` when it is not after."""
        os.makedirs(target, mode=0o700, exist_ok=True)
        argv = [*_COPY, f"{source}/", f"{target}/"]
        self._runner.run(argv)
        compared = self._runner.run([*argv[:-2], "--dry-run", "--itemize-changes", *argv[-2:]])
        if compared.stdout:
            raise BackupError(
                f"{target} is not equal to {source} after it was copied: "
                f"{compared.stdout.splitlines()[0]}",
                "Nothing was switched. Does something write there? Run site.yml again",
            )
        os.sync()

    def _grow(self, size_bytes: int) -> None:
        places = self.places
        image = look_at_image(places.image)
        if image is None or (image.size_bytes >= size_bytes and image.is_whole):
            return
        reserve(places.image, size_bytes)
        device = self._mount_of_staging().source
        self._runner.run(["losetup", "--set-capacity", device])
        if self._runner.run(["resize2fs", device], check=False).exit_code != 0:
            # A container may not do it while it is mounted (CAP_SYS_RESOURCE).
            self._grow_unmounted()
        # The kernel may have zeroed new inode tables by holes.
        os.sync()
        reserve(places.image, size_bytes)

    def _grow_unmounted(self) -> None:
        places = self.places
        self._unmount(places.staging)
        try:
            checked = self._runner.run(["e2fsck", "-f", "-p", places.image], check=False)
            if checked.exit_code not in _E2FSCK_GOOD:
                raise BackupError(
                    f"the file system in {places.image} has errors: {checked.stdout.strip()}",
                    f"Run 'umount {places.staging}; e2fsck -f {places.image}', then site.yml",
                )
            self._runner.run(["resize2fs", places.image])
        finally:
            self._mount()

    def _mount(self) -> None:
        places = self.places
        if os.path.ismount(places.staging):
            return
        os.makedirs(places.staging, mode=0o700, exist_ok=True)
        self._runner.run(["mount", "--fstab", places.fstab, places.staging])
        os.chmod(places.staging, 0o700)

    def _unmount(self, path: str) -> None:
        result = self._runner.run(["umount", path], check=False)
        if result.exit_code != 0:
            raise BackupError(
                f"{path} can't be unmounted: {result.stderr.strip()}",
                f"See what uses it (fuser -vm {path}), then run site.yml again",
            )

    def _mount_of_staging(self) -> Mount:
        mount = mount_holding(self.places.staging, read_mounts())
        if mount is None or mount.mount_point != self.places.staging:
            raise BackupError(f"{self.places.image} is not mounted at {self.places.staging}")
        return mount

    def _reload_systemd(self) -> None:
        if self.places.fstab == FSTAB_PATH and os.path.isdir(_SYSTEMD_RUNS):
            self._runner.run(["systemctl", "daemon-reload"])


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
