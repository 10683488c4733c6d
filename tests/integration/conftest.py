# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What most tests start from, and the order: the longest files first.

Some run at a time, and none should be left alone at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.remote_support import Remote

from b2_standin.client import StandIn

from .leftovers import clear_leftovers
from .night_host import NightHost, mounted_ssd

# They wait for rclone's pace, for minutes.
LONGEST = ("test_restore_hostile.py", "test_second.py", "test_sixty_nights.py")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Clear away what a killed run left; of several workers, the one that starts them does."""
    if os.geteuid() == 0 and not hasattr(session.config, "workerinput"):
        clear_leftovers(Path(tempfile.gettempdir()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the rest stays in its order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="module")
def b2() -> Iterator[StandIn]:
    """A stand-in that a file's tests share, each with a bucket of its own."""
    with StandIn.start() as stand_in:
        yield stand_in


@pytest.fixture
def remote(b2: StandIn, tmp_path: Path) -> Iterator[Remote]:
    """A remote on the shared stand-in, which has no fault and no slow link afterwards."""
    yield Remote(b2, tmp_path)
    b2.clear_faults()
    b2.link()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NightHost]:
    """A host with filled sources, and a stand-in of its own."""
    with StandIn.start(tmp_path / "b2") as stand_in, mounted_ssd(tmp_path) as ssd:
        host = NightHost(tmp_path, ssd, stand_in)
        host.fill()
        yield host
