# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before a night touches anything: the SSD, paths.state, space, the clock.

Every check raises an error that says what is wrong and what to do, while all services are up
and staging is as the last night left it.
"""

from __future__ import annotations

import os
from typing import Mapping, Optional

from ..base.errors import BackupError
from ..base.printable import printable
from ..base.progress import human_bytes
from ..capture.copy import give_back_partial
from ..config.schema import Config
from ..filesystem.disk_usage import used_bytes
from ..filesystem.mounts import probe_io, read_mounts
from ..points.model import Seal
from ..points.true_clock import require_true_clock
from ..staging.area import file_system_space
from ..staging.disk_guard import DiskGuard, places_of
from ..staging.image_plan import MODE_IMAGE
from .source_sizes import TreeSize

# Temporary files, the record of hard links, a night's carriers.
INODES_SPARE = 64


def check_ssd(config: Config, *, accept_disks: bool = False, write_probe: bool = True) -> DiskGuard:
    """The SSD and the sources' disks are those that were recorded, and the SSD answers.

    *write_probe* writes a few bytes: a pulled SSD still shows as mounted, and only real writes
    find out. With *accept_disks* a new SSD gets its staging directory here. The caller settles
    what is returned when everything else is right too.
    """
    mounts = read_mounts()
    is_up = config.staging.mode != MODE_IMAGE or os.path.ismount(config.paths.staging)
    guard = DiskGuard(places_of(config), mounts, accept=accept_disks, with_sentinel=is_up)
    guard.refuse_strangers()
    if not is_up:
        # Not mounted here: fstab tried at boot, and why it failed is for a person to see.
        raise BackupError(
            f"the staging image is not mounted at {config.paths.staging}, nothing was changed",
            f"Run 'mount {config.paths.staging}' and look at what it says (and at dmesg), or run "
            "site.yml",
        )
    if not os.path.isdir(config.paths.staging):
        if not (accept_disks and write_probe):
            raise BackupError(
                f"the staging directory {config.paths.staging} is missing",
                "Run site.yml: its staging role creates it",
            )
        os.mkdir(config.paths.staging, 0o700)
    if write_probe:
        # First: what a power cut left may be all that the SSD had room for.
        give_back_partial(config.paths.staging)
        probe_io(config.paths.staging)
    return guard


LARGEST_TOLD = 3


def check_state(state: str) -> None:
    """What is stopped is written down in the directory *state* first: it takes some bytes.

    Raises :class:`BackupError` otherwise.
    """
    try:
        probe_io(state)
    except BackupError as error:
        raise BackupError(
            f"paths.state: {error.message}, nothing was changed",
            "Make room on the disk that holds it (df -h). If it is read-only, the kernel found an "
            "error on it: look at dmesg, it may need a new SD card",
        ) from error


def check_space(config: Config, sizes: Mapping[str, TreeSize]) -> None:
    """Staging has bytes and inodes for what will be copied and stays above the configured minimum.

    A weekly snapshot takes an inode for each directory; file systems that make inodes as they
    need them (btrfs) say that they have none.
    """
    status = os.statvfs(config.paths.staging)
    space = file_system_space(config.paths.staging)
    needed_bytes = _bytes_to_write(sizes, status.f_frsize)
    reserve_bytes = space.total_bytes * config.guards.minimum_free_percent // 100
    if config.staging.mode != MODE_IMAGE:
        # An image has no neighbours to leave room for.
        reserve_bytes = max(reserve_bytes, config.guards.minimum_free_bytes)
    if needed_bytes + reserve_bytes > space.free_bytes:
        raise BackupError(
            f"staging needs {human_bytes(needed_bytes)} and {human_bytes(reserve_bytes)} must "
            f"stay free, but {config.paths.staging} has {human_bytes(space.free_bytes)} left"
            f"{_largest_told(sizes)}",
            "Free some space on the SSD, or exclude data with agent_sources",
        )
    needed_inodes = INODES_SPARE + sum(size.files_new for size in sizes.values())
    if config.weekly.enabled:
        needed_inodes += sum(size.directories for size in sizes.values())
    reserve_inodes = status.f_files * config.guards.minimum_free_percent // 100
    if status.f_files and needed_inodes + reserve_inodes > status.f_favail:
        raise BackupError(
            f"staging needs {needed_inodes} inodes and {reserve_inodes} must stay free, but "
            f"{config.paths.staging} has {status.f_favail} left",
            "Remove some of the many small files on the SSD, or exclude them with agent_sources",
        )


def check_maximum(config: Config, sizes: Mapping[str, TreeSize]) -> None:
    """Staging, weekly snapshots included, stays within ``guards.staging_maximum_bytes``.

    What it holds is counted in blocks, each file once however many names it has. What will be
    copied counts in full, what it replaces is taken off where no snapshot keeps it: staging may
    end up smaller than this, but not larger. Dumps count as they were last night.
    """
    maximum_bytes = config.guards.staging_maximum_bytes
    if not maximum_bytes:
        return
    block_bytes = os.statvfs(config.paths.staging).f_frsize
    after_bytes = used_bytes(config.paths.staging) + _bytes_to_write(sizes, block_bytes)
    after_bytes -= sum(size.bytes_freed for size in sizes.values())
    if after_bytes > maximum_bytes:
        raise BackupError(
            f"{config.paths.staging} would hold {human_bytes(after_bytes)}, and its maximum is "
            f"{human_bytes(maximum_bytes)} (agent_staging_maximum_bytes): nothing was changed"
            f"{_largest_told(sizes)}",
            "Keep fewer weekly snapshots (agent_weekly_keep_weeks), exclude data with "
            "agent_sources, or raise the maximum",
        )


def _largest_told(sizes: Mapping[str, TreeSize]) -> str:
    files = sorted((one for size in sizes.values() for one in size.largest), reverse=True)
    told = [f"{printable(name)} ({human_bytes(size)})" for size, name in files[:LARGEST_TOLD]]
    return f". The largest to copy: {', '.join(told)}" if told else ""


def _bytes_to_write(sizes: Mapping[str, TreeSize], block_bytes: int) -> int:
    # The last block of each file is on average half empty, and a small file is all last block.
    return sum(size.to_copy_bytes + size.files_new * block_bytes for size in sizes.values())


def check_clock(skew_seconds: Optional[float], before: Optional[Seal], now: float) -> None:
    """This host's clock agrees with B2's and did not jump behind the last sealed night.

    *skew_seconds* is how far B2's clock is ahead; None when B2 did not tell.
    """
    require_true_clock(skew_seconds, before.id if before is not None else "", now)
