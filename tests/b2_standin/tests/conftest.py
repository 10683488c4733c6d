# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the stand-in's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from b2_standin.client import StandIn
from b2_standin.tests.support import BUCKET, Rclone


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One server for all tests."""
    with StandIn.start(tmp_path_factory.mktemp("b2-data")) as stand_in:
        yield stand_in


@pytest.fixture
def b2(server: StandIn) -> StandIn:
    """The server as new, with one bucket."""
    server.wipe()
    server.make_bucket(BUCKET)
    return server


@pytest.fixture
def rclone(b2: StandIn) -> Rclone:
    """rclone with the master key."""
    return Rclone(b2)
