# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a part of a source to its place in staging."""

from __future__ import annotations

import os
from typing import Sequence

from .config import Config, Source
from .rsync import RsyncStats, copy, literal_pattern
from .runner import Runner


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
) -> RsyncStats:
    """Make staging equal to *paths*, which belong to *source*; see :func:`.rsync.copy`.

    *services_wait*: services are down until the copy is done, so it is not made nice.
    """
    destination = os.path.join(config.paths.daily, source.tree)
    if not dry_run:
        os.makedirs(destination, exist_ok=True)
    return copy(
        runner,
        paths,
        destination,
        excludes=(*source.exclude, literal_pattern(config.paths.staging)),
        niceness=0 if services_wait else config.capture.niceness,
        may_vanish=may_vanish,
        dry_run=dry_run,
        prefix=prefix,
    )
