# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the stand-in's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn
from b2_standin.tests.support import BUCKET, Rclone


@pytest.fixture
def b2(tmp_path: Path) -> Iterator[StandIn]:
    """A fresh stand-in with one bucket."""
    with StandIn.start(tmp_path / "b2-data") as stand_in:
        stand_in.make_bucket(BUCKET)
        yield stand_in


@pytest.fixture
def rclone(b2: StandIn) -> Rclone:
    """rclone with the master key."""
    return Rclone(b2)
