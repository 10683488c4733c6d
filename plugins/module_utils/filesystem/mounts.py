# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a path is mounted, and whether what is mounted there still answers.

A missing SSD leaves an empty directory that looks healthy, and a pulled one still shows as
mounted: so the mount table is read and real bytes are written, synced and read back.
"""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional

from ..base.errors import BackupError

MOUNTINFO_PATH = "/proc/self/mountinfo"
PROBE_NAME = ".lepotato-backup-probe"
_PROBE_BYTES = b"lepotato.backup probe\n"
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the mount table."""

    mount_point: str
    device_number: str
    file_system: str
    source: str
    read_only: bool


def parse_mountinfo(text: str) -> List[Mount]:
    """The mounts in *text*, in the order of ``/proc/self/mountinfo`` (see proc(5))."""
    mounts = []
    for line in text.splitlines():
        before, _separator, after = line.partition(" - ")
        fields = before.split(" ")
        file_system, source, super_options = after.split(" ")[:3]
        options = fields[5].split(",") + super_options.split(",")
        mounts.append(
            Mount(_unescape(fields[4]), fields[2], file_system, _unescape(source), "ro" in options)
        )
    return mounts


def read_mounts(path: str = MOUNTINFO_PATH) -> List[Mount]:
    """The mounts of this process."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return parse_mountinfo(stream.read())


def mount_holding(path: str, mounts: List[Mount]) -> Optional[Mount]:
    """The mount that *path* lies on; of several on one mount point, the last one covers."""
    found: Optional[Mount] = None
    for mount in mounts:
        prefix = mount.mount_point.rstrip("/") + "/"
        if (path + "/").startswith(prefix) and (
            found is None or len(mount.mount_point) >= len(found.mount_point)
        ):
            found = mount
    return found


def probe_io(directory: str) -> None:
    """Write, sync and read back a few bytes in *directory*.

    Raises :class:`BackupError` when the device behind it does not answer.
    """
    path = os.path.join(directory, PROBE_NAME)
    try:
        with open(path, "w+b", buffering=0) as stream:
            stream.write(_PROBE_BYTES)
            os.fsync(stream.fileno())
            stream.seek(0)
            read_back = stream.read()
        os.unlink(path)
    except OSError as error:
        raise BackupError(
            f"{directory} can't be written: {error.strerror}",
            "Check the SSD, its cable and its power supply (dmesg), and its free space",
        ) from error
    if read_back != _PROBE_BYTES:
        raise BackupError(
            f"{directory} gives back other bytes than were written", "Replace the SSD"
        )


def _unescape(field: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    return _OCTAL_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), field)
