# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Source
from ansible_collections.lepotato.backup.plugins.module_utils.night.source_sizes import (
    present_paths,
)


def test_sources_that_are_missing_or_empty_are_refused_unless_they_may_be(tmp_path: Path) -> None:
    full, empty, missing = tmp_path / "full", tmp_path / "empty", tmp_path / "missing"
    full.mkdir()
    (full / "file").touch()
    empty.mkdir()
    for path in (empty, missing):
        paths = (str(full), str(path))
        with pytest.raises(BackupError, match=str(path)):
            present_paths(Source("docker-volumes", paths))
        optional = present_paths(Source("docker-volumes", paths, required=False))
        assert str(full) in optional
        assert str(missing) not in optional
