# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts below the sources that come and go: without them their place is an empty directory.

Docker mounts a local volume with a ``device`` (a bind, NFS or CIFS mount) only while a container
that uses it runs. A pass over its empty mount point would empty the staged copy, night after
night: while such a mount is absent, what is staged of it stays.
"""

from __future__ import annotations

import os
from typing import Any, Iterable, List, Mapping, Sequence

from ..base.paths import is_below
from ..filesystem.mounts import Mount, read_mounts

DEVICE_OPTION = "device"


def expected_mounts(
    paths: Sequence[str], mounts: Iterable[Mount], volumes: Iterable[Mapping[str, Any]]
) -> List[str]:
    """Where at or below *paths* something is mounted now, or is when a container runs.

    *volumes* is Docker's answer to the question for its volumes.
    """
    found = {mount.mount_point for mount in mounts}
    for volume in volumes:
        if (volume.get("Options") or {}).get(DEVICE_OPTION) and volume.get("Mountpoint"):
            found.add(os.path.realpath(str(volume["Mountpoint"])))
    # The mount table has a link's target; rsync is given the link.
    return sorted(
        path + place[len(os.path.realpath(path)) :]
        for path in paths
        for place in found
        if is_below(place, os.path.realpath(path))
    )


def absent_mounts(expected: Iterable[str]) -> List[str]:
    """Those of *expected* where nothing is mounted at this moment."""
    # Not os.path.ismount: a bind mount of the same file system is none to it.
    mounted = {mount.mount_point for mount in read_mounts()}
    return [path for path in expected if os.path.realpath(path) not in mounted]
