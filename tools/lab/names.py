# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a lab is found by its name alone, so that a half-made lab can be removed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ..paths import CHECKOUT

KINDS = re.compile(r"[a-z][a-z0-9_]{0,23}")


@dataclass(frozen=True)
class LabNames:
    """The names of one lab; *kind* is a short word such as "demo"."""

    kind: str

    def __post_init__(self) -> None:
        if not KINDS.fullmatch(self.kind):
            raise ValueError(f"{self.kind!r}: a lab's kind is up to 24 of a-z, 0-9 and _")

    @property
    def lab_id(self) -> str:
        """Return the kind with a mark of this checkout."""
        mark = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:4]
        return f"{self.kind}-{mark}"

    @property
    def prefix(self) -> str:
        """Return what the names of the lab's containers begin with."""
        return f"lpb-{self.lab_id}-"

    @property
    def potato(self) -> str:
        """Return the board's container."""
        return f"{self.prefix}potato"

    @property
    def ssd(self) -> Path:
        """Return the SSD's mount point: the same on the host and in the board.

        It must be, for Docker resolves a sibling's bind mount on the host.
        """
        return Path(f"/mnt/lpb-{self.lab_id}/ssd")

    @property
    def folder(self) -> Path:
        """Return the lab's files on the host: inventory, stand-in's data, SSD image."""
        return CHECKOUT / ".cache" / "labs" / self.kind

    @property
    def inventory(self) -> Path:
        """Return the Ansible inventory's folder."""
        return self.folder / "inventory"
