# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rclone may look up single files of an earlier night; the rest is tested with a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Rclone as RcloneConfig,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import SubprocessRunner
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.restore.directory import (
    looks_up_versions,
)


@pytest.mark.parametrize(
    ("told", "is_able"),
    [
        ("rclone v1.75.2", True),
        ("rclone v1.100.0", True),
        ("rclone v2.0.0", True),
        # The distribution's.
        ("rclone v1.60.1-DEV", False),
        ("rclone v1.74.0", False),
        ("something else", False),
    ],
)
def test_an_old_rclone_lists_what_it_can_not_look_up(
    told: str, is_able: bool, tmp_path: Path
) -> None:
    binary = tmp_path / "rclone"
    binary.write_text(f"#!/bin/sh\necho {told}\necho - os/version: debian\n")
    binary.chmod(0o755)
    assert (
        looks_up_versions(Rclone(RcloneConfig(binary=str(binary)), SubprocessRunner())) is is_able
    )
