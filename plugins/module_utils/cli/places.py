# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a restore point lies, as ``--from`` takes it and JSON answers tell it."""

from __future__ import annotations

BUCKET = "b2"
SSD = "ssd"
SECOND = "second"
