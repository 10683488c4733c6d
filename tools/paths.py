# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tools keep things. Caches are shared by every clone of one user."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
COLLECTIONS = CHECKOUT / ".collections"


def cache_dir() -> Path:
    """Return the folder for everything that a second clone can use again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lepotato-backup"


def log_dir() -> Path:
    """Return this checkout's folder of logs, made if it is missing (ignored by git)."""
    folder = CHECKOUT / ".cache" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
