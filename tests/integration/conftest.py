# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The longest files first: some run at a time, and none should be left alone at the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from .leftovers import clear_leftovers

# They wait for rclone's pace, for minutes.
LONGEST = ("test_restore_hostile.py", "test_second.py", "test_sixty_nights.py")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Clear away what a killed run left; of several workers, the one that starts them does."""
    if os.geteuid() == 0 and not hasattr(session.config, "workerinput"):
        clear_leftovers(Path(tempfile.gettempdir()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the rest stays in its order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
