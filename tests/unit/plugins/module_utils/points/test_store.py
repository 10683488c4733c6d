# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.points.store import encrypted_bytes


@pytest.mark.parametrize(
    ("plain", "encrypted"),
    # As "rclone size" told for files of these sizes, raw and through crypt.
    [(0, 32), (1, 49), (65536, 65584), (65537, 65601), (1_000_000, 1_000_288)],
)
def test_crypt_adds_a_header_and_a_tag_a_block(plain: int, encrypted: int) -> None:
    assert encrypted_bytes(plain) == encrypted
