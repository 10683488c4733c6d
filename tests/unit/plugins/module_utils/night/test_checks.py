# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import parse_config
from ansible_collections.lepotato.backup.plugins.module_utils.night.checks import (
    check_clock,
    check_maximum,
    check_space,
    check_ssd,
)
from ansible_collections.lepotato.backup.plugins.module_utils.night.source_sizes import TreeSize
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    epoch_of_point,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.true_clock import (
    CLOCK_SKEW_MAX_SECONDS,
)

MIB = 1024**2
SEAL = Seal(
    id="20261121T020000Z",
    host="potato",
    started_at="2026-11-21T02:00:00Z",
    sealed_at="2026-11-21T02:10:00Z",
    version_at="2026-11-21T02:10:01Z",
    manifest=ManifestReference("manifests/20261121T020000Z.jsonl.gz", "ab" * 32, 1000),
    trees={"docker-volumes": Amount(1000, 1000 * MIB), "pihole-config": Amount(9, 2 * MIB)},
    upload=Amount(1009, 1002 * MIB),
)


def test_the_clock_must_agree_with_b2_and_go_forward() -> None:
    now = epoch_of_point(SEAL.id) + 86400
    check_clock(None, None, now)
    check_clock(2.0, SEAL, now)
    with pytest.raises(BackupError, match=r"clock is 400 s behind Backblaze.*timedatectl"):
        check_clock(CLOCK_SKEW_MAX_SECONDS + 40, SEAL, now)
    with pytest.raises(BackupError, match="ahead of"):
        check_clock(-CLOCK_SKEW_MAX_SECONDS - 40, SEAL, now)
    with pytest.raises(BackupError, match="before the last sealed night 20261121T020000Z"):
        check_clock(0.0, SEAL, now - 2 * 86400)


def test_space_is_what_is_copied_and_the_reserve(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    config = parse_config(
        {
            "host": "potato",
            "bucket": "b",
            "host_prefix": "p",
            "sources": [{"tree": "a", "paths": ["/a"]}],
            "paths": {"ssd": str(tmp_path), "staging": str(tmp_path / "staging")},
            "guards": {"minimum_free_bytes": 0, "minimum_free_percent": 0},
        }
    )
    check_space(config, {"a": TreeSize(Amount(1, 1), 4096)})
    with pytest.raises(BackupError, match=r"staging needs 1000\.0 TB"):
        check_space(config, {"a": TreeSize(Amount(1, 1), 10**15)})
    reserve = dataclasses.replace(config.guards, minimum_free_bytes=10**15)
    with pytest.raises(BackupError, match=r"1000\.0 TB must stay free"):
        check_space(dataclasses.replace(config, guards=reserve), {})
    with pytest.raises(BackupError, match="lepotato_backup_ssd_mount"):
        check_ssd(config)
    # Small files take whole blocks and an inode each.
    check_space(config, {"a": TreeSize(Amount(1, 1), 1, files_new=10)})
    with pytest.raises(BackupError, match=r"staging needs \d+\.\d TB"):
        check_space(config, {"a": TreeSize(Amount(1, 1), 1, files_new=10**10)})
    inodes = os.statvfs(tmp_path)
    if inodes.f_files:
        with pytest.raises(BackupError, match=r"staging needs \d+ inodes and 0 must stay free"):
            check_space(config, {"a": TreeSize(Amount(1, 1), 1, directories=inodes.f_files)})
        without = dataclasses.replace(config.weekly, enabled=False)
        check_space(
            dataclasses.replace(config, weekly=without),
            {"a": TreeSize(Amount(1, 1), 1, directories=inodes.f_files)},
        )


def test_staging_keeps_to_its_maximum(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging/file").write_bytes(os.urandom(5 * MIB))
    config = parse_config(
        {
            "host": "potato",
            "bucket": "b",
            "host_prefix": "p",
            "sources": [{"tree": "a", "paths": ["/a"]}],
            "paths": {"ssd": str(tmp_path), "staging": str(tmp_path / "staging")},
            "guards": {"staging_maximum_bytes": 8 * MIB},
        }
    )
    check_maximum(config, {"a": TreeSize(Amount(1, 1), 2 * MIB)})
    check_maximum(config, {"a": TreeSize(Amount(1, 1), 6 * MIB, bytes_freed=5 * MIB)})
    with pytest.raises(BackupError, match=r"would hold 11\.5 MB.*agent_staging_maximum_bytes"):
        check_maximum(config, {"a": TreeSize(Amount(1, 1), 6 * MIB)})
    unlimited = dataclasses.replace(config.guards, staging_maximum_bytes=0)
    check_maximum(
        dataclasses.replace(config, guards=unlimited), {"a": TreeSize(Amount(1, 1), 10**15)}
    )
