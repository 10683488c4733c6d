# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which board this is, so that two that share a prefix can be told apart.

The system's own identity (machine-id) is on the SD card, and a cloned card has the same one: the
hardware's serial number and network addresses count too.
"""

from __future__ import annotations

import glob
import hashlib
import os
from typing import List

# 64 bits tell the boards of one household apart.
IDENTITY_CHARS = 16

MACHINE_ID_PATH = "etc/machine-id"
SERIAL_PATHS = (
    "sys/firmware/devicetree/base/serial-number",
    "sys/class/dmi/id/product_uuid",
)
# Of an address that software made up; such a one may be new after each boot.
_LOCALLY_ADMINISTERED = 0x02


def board_identity(root: str = "/") -> str:
    """A name for this board, the same after each boot; *root* is where the system lies.

    Made of what can be read; "" where nothing can.
    """
    hardware = [_read(os.path.join(root, path)) for path in SERIAL_PATHS]
    if not any(hardware):
        hardware = _addresses(root)
    parts = [_read(os.path.join(root, MACHINE_ID_PATH)), *hardware]
    if not any(parts):
        return ""
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:IDENTITY_CHARS]


def _addresses(root: str) -> List[str]:
    """The addresses of network cards that were there when the board was made."""
    found = []
    for path in sorted(glob.glob(os.path.join(root, "sys/class/net/*/address"))):
        address = _read(path)
        # A card has a device; bridges and Docker's pairs have none.
        if not os.path.exists(os.path.join(os.path.dirname(path), "device")) or not address:
            continue
        if not int(address.split(":")[0], 16) & _LOCALLY_ADMINISTERED:
            found.append(address)
    return sorted(found)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip().strip("\0")
    except OSError:
        # Not there, or not for this user: the other parts are told.
        return ""
