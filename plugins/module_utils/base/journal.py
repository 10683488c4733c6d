# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the logic tells whoever runs it, and the hook that fault injection hangs on."""

from __future__ import annotations

from typing import Protocol


class Journal(Protocol):
    """Where progress goes: the night's log, a terminal, or an Ansible result."""

    def info(self, message: str) -> None:
        """Say what was done."""

    def warning(self, message: str) -> None:
        """Say what needs a look though the work goes on."""

    def step(self, name: str) -> None:
        """Announce the step that begins now; tests end the program here."""
