# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first stage: everything that can be wrong is found while nothing was touched.

The checks themselves are in :mod:`.checks`, the guard against a loss in :mod:`.shrink_guard`.
"""

from __future__ import annotations

import posixpath
from typing import Optional

from ..base.errors import BackupError
from ..bucket.upload import cancel_unfinished
from ..filesystem.atomic_write import write_atomically
from ..points.count import newest_seal
from ..points.model import Seal, parse_seal, seal_path
from ..rclone.remote_proof import AuthProof, prove_auth
from ..staging.disk_guard import DiskGuard
from .checks import check_clock, check_maximum, check_space, check_ssd, check_state
from .context import Night
from .last_writer import believe_no_note, look_at_last_writer
from .shrink_guard import check_shrink
from .source_sizes import measure_tree, sizes_told
from .stage import Stage


class PreflightStage(Stage):
    """Is the SSD there, are the sources whole, do key, passwords and clock agree with B2?"""

    name = "preflight"

    def run(self, night: Night) -> None:
        """Check all of it, then settle what a good start needs."""
        check_state(night.config.paths.state)
        disks = _check(night)
        for path in disks.unrecorded:
            night.log.info(f"{path}: its disk is remembered from now on")
        disks.settle()
        believe_no_note(night)
        cancel_unfinished(night.config, night.client, night.log)

    def dry_run(self, night: Night) -> None:
        """Check all that can be checked without a write."""
        with self.under_way(night):
            for path in _check(night).unrecorded:
                night.log.info(f"{path}: its disk would be remembered from now on")


def _check(night: Night) -> DiskGuard:
    config, options = night.config, night.options
    disks = check_ssd(config, accept_disks=options.accept_disks, write_probe=not options.dry_run)
    proof = _prove_remote(night)
    for warning in proof.warnings:
        night.log.warning(warning)
    look_at_last_writer(night)
    check_clock(proof.clock_skew_seconds, night.before, night.record.started_epoch_seconds)
    for source in config.sources:
        night.sizes[source.tree] = measure_tree(config, source, night.runner)
    night.record.details["sources"] = sizes_told(night.sizes)
    check_shrink(config.guards, night.before, night.sizes, options.accept_shrink)
    _check_room(night)
    return disks


def _check_room(night: Night) -> None:
    """Raise :class:`BackupError` when staging has no room for what will be copied.

    Sizes are asked for first; where they are too much, each file's blocks, which takes a look at
    each: sparse files are smaller than they say.
    """
    config = night.config
    try:
        check_space(config, night.sizes)
        check_maximum(config, night.sizes)
    except BackupError as error:
        night.log.info(f"looking at each file that would be copied: {error.message}")
        for source in config.sources:
            night.sizes[source.tree] = measure_tree(config, source, night.runner, in_blocks=True)
        check_space(config, night.sizes)
        check_maximum(config, night.sizes)


def _prove_remote(night: Night) -> AuthProof:
    """Prove key and passwords, and find the last sealed night: what this host wrote, or on a
    new board the bucket's newest."""
    night.before = _last_seal(night)
    if night.before is not None:
        # Finding its name proves the passwords too, for half the calls.
        proof = prove_auth(night.remote, None, night.client)
        night.point_names = night.store.points()
        if posixpath.basename(seal_path(night.before.id)) in night.point_names:
            return proof
    proof = prove_auth(night.remote, night.rclone, night.client)
    night.point_names = night.store.points()
    if night.before is None:
        night.before = newest_seal(night.rclone)
        if night.before is not None:
            night.distrust = "this host does not know which night it sealed last"
        if night.before is not None and not night.options.dry_run:
            write_atomically(night.state.last_seal, night.before.to_json().encode("utf-8"))
    return proof


def _last_seal(night: Night) -> Optional[Seal]:
    """The newest seal this host wrote, as far as it knows."""
    try:
        with open(night.state.last_seal, encoding="utf-8", errors="replace") as stream:
            return parse_seal(stream.read(), night.state.last_seal)
    except FileNotFoundError:
        return None
    except BackupError as error:
        night.log.warning(
            f"{error.message}: the newest one in the bucket counts instead. Look at the disk "
            "that holds paths.state (dmesg)"
        )
        return None
