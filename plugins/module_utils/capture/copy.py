# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a part of a source to its place in staging.

rsync writes each file beside the staged copy and renames it when it is whole. It does so in a
directory of its own, so that what a power cut leaves there is found and given back.
"""

from __future__ import annotations

import contextlib
import os
from typing import List, Sequence

from ..config.schema import Config, Source
from ..process.runner import Runner
from ..staging.image_plan import SUFFIXES
from .rsync import RsyncStats, copy, literal_pattern

PARTIAL_DIRECTORY = ".rsync-partial"


def copy_source(
    config: Config,
    runner: Runner,
    source: Source,
    paths: Sequence[str],
    *,
    may_vanish: bool,
    services_wait: bool = False,
    dry_run: bool = False,
    prefix: Sequence[str] = (),
    count_freed: bool = False,
    count_blocks: bool = False,
    absent: Sequence[str] = (),
) -> RsyncStats:
    """Make staging equal to *paths*, which belong to *source*; see :func:`.rsync.copy`.

    What is staged of *absent*, the mounts below *paths* that are not there now, stays as it is.
    *services_wait*: services are down until the copy is done, so it is not made nice.
    """
    destination = os.path.join(config.paths.daily, source.tree)
    options = [
        f"--filter={rule} {literal_pattern(path)}/***" for path in absent for rule in ("H", "P")
    ]
    if not dry_run:
        os.makedirs(destination, exist_ok=True)
        partial = os.path.join(config.paths.staging, PARTIAL_DIRECTORY)
        os.makedirs(partial, mode=0o700, exist_ok=True)
        options.append(f"--temp-dir={partial}")
    return copy(
        runner,
        paths,
        destination,
        excludes=(*source.exclude, *_staging_patterns(config.paths.staging)),
        niceness=0 if services_wait else config.capture.niceness,
        may_vanish=may_vanish,
        dry_run=dry_run,
        options=options,
        prefix=prefix,
        count_freed=count_freed,
        count_blocks=count_blocks,
    )


def _staging_patterns(staging: str) -> List[str]:
    return [literal_pattern(staging + suffix) for suffix in ("", *SUFFIXES)]


def give_back_partial(staging: str) -> None:
    """Remove the files that a pass did not finish. None may be under way."""
    partial = os.path.join(staging, PARTIAL_DIRECTORY)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(partial):
            os.unlink(os.path.join(partial, name))
