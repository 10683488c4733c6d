# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Guards
from ansible_collections.lepotato.backup.plugins.module_utils.night.shrink_guard import check_shrink
from ansible_collections.lepotato.backup.plugins.module_utils.night.source_sizes import TreeSize
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
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


def sizes(**trees: tuple[int, int]) -> dict[str, TreeSize]:
    return {
        name.replace("_", "-"): TreeSize(Amount(files, size_bytes), 0)
        for name, (files, size_bytes) in trees.items()
    }


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (sizes(docker_volumes=(1000, 1000 * MIB), pihole_config=(9, 2 * MIB)), ""),
        (sizes(docker_volumes=(500, 500 * MIB)), ""),
        (sizes(docker_volumes=(499, 1000 * MIB)), "docker-volumes has 499 files and had 1000"),
        (sizes(docker_volumes=(1000, 499 * MIB)), "docker-volumes has 523239424 bytes"),
        (sizes(docker_volumes=(0, 0)), "docker-volumes has 0 files and had 1000"),
        # Small trees may shrink, but not vanish.
        (sizes(pihole_config=(1, 1)), ""),
        (sizes(pihole_config=(0, 0)), "pihole-config has 0 files and had 9"),
        # A tree that is new, and one that was taken out of the configuration.
        (sizes(dumps=(0, 0)), ""),
    ],
)
def test_a_tree_that_lost_too_much_stops_the_night(now: dict[str, TreeSize], problem: str) -> None:
    check_shrink(Guards(), None, now, accepted=False)
    check_shrink(Guards(), SEAL, now, accepted=True)
    if not problem:
        check_shrink(Guards(), SEAL, now, accepted=False)
        return
    with pytest.raises(BackupError) as caught:
        check_shrink(Guards(), SEAL, now, accepted=False)
    assert problem in str(caught.value)
    assert "--accept-shrink" in str(caught.value)
