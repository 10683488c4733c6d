# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose files as people write them, and the ones that are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.docker.compose_file import (
    read_dependencies,
)

PLAIN = """
version: "2.4"   # an old one
# services:
services:

  app:
    image: "app:1"
    command: >
      sh -c 'echo depends_on:
      - nobody'
    depends_on:
      db:
        condition: service_healthy
      cache: {condition: service_started}
    environment:
      depends_on: not this
  db:
    image: postgres   # no dependencies
  'worker':
    depends_on:
    - "app"
    - db
    links:
      - mail:smtp
  cron:
    depends_on: [app, "db"]
  cache:
    image: redis
volumes:
  data:
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PLAIN,
            {"app": ("cache", "db"), "worker": ("app", "db", "mail"), "cron": ("app", "db")},
        ),
        ("services:\n  a:\n    image: x\n", {}),
        ("version: '3'\n", {}),
        ("services:\n    a:\n        depends_on:\n        -   b\n", {"a": ("b",)}),
        ("services:\n  a:\n    <<: *base\n    image: x\n", None),
        ("services:\n  a:\n    extends: b\n", None),
        ("services:\n  a: *base\n", None),
        ("services: {a: {depends_on: [b]}}\n", None),
        ("services:\n  a:\n    depends_on: *list\n", None),
        ("services:\n  a:\n    depends_on: [b,\n      c]\n", None),
        ("services:\n\ta:\n", None),
        ("services:\n  a:\n    depends_on:\n      - ${NAME}\n", None),
        ("services:\n    a:\n      image: x\n  b:\n", None),
    ],
)
def test_dependencies_are_read_or_not_known(
    tmp_path: Path, text: str, expected: Optional[Dict[str, Tuple[str, ...]]]
) -> None:
    (tmp_path / "docker-compose.yml").write_text(text)
    assert read_dependencies(str(tmp_path), "docker-compose.yml") == expected


def test_several_files_are_merged_and_a_missing_one_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("services:\n  app:\n    depends_on: [db]\n")
    (tmp_path / "b.yml").write_text("services:\n  app:\n    depends_on: [cache]\n")
    assert read_dependencies(str(tmp_path), f"a.yml,{tmp_path}/b.yml") == {"app": ("cache", "db")}
    assert read_dependencies(str(tmp_path), "a.yml,missing.yml") is None
    (tmp_path / "c.yml").write_bytes(b"\xff\xfe")
    assert read_dependencies(str(tmp_path), "c.yml") is None
