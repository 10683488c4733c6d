# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries a wish means, and what makes a board the board that it is."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import (
    BackupError,
    ConfigError,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import Source
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.restore.selection import (
    Chooser,
    Wish,
    is_identity,
    measure,
    outermost,
)

SOURCES = (
    Source("docker-volumes", ("/srv/volumes",)),
    Source("system-config", ("/etc/hostname", "/etc/ssh", "/etc/cron.d", "/etc/network")),
)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    root = tmp_path / "daily"
    for name in (
        "docker-volumes/srv/volumes/web/index.html",
        "docker-volumes/srv/volumes/web/a/b.css",
        "docker-volumes/srv/volumes/db/base",
        "docker-volumes/srv/volumes/od[d] *",
        "system-config/etc/hostname",
        "system-config/etc/ssh/sshd_config",
        "system-config/etc/ssh/ssh_host_rsa_key",
        "system-config/etc/cron.d/job",
        "system-config/etc/network/interfaces",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    path = tmp_path / "manifest.gz"
    write_manifest(root, path)
    return path


def chosen(manifest: Path, wish: Wish, spared: bool = True) -> List[str]:
    chooser = Chooser(wish, SOURCES)
    found = outermost(manifest, chooser, SOURCES, wish.paths if spared else None)
    return [entry.path.decode() for entry in found]


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("/srv/volumes/web", ["docker-volumes/srv/volumes/web"]),
        ("/srv/volumes/web/", ["docker-volumes/srv/volumes/web"]),
        ("/srv/volumes/w*", ["docker-volumes/srv/volumes/web"]),
        ("/srv/volumes/*.css", []),
        ("/srv/**.css", ["docker-volumes/srv/volumes/web/a/b.css"]),
        ("/srv/volumes/[!w]b", ["docker-volumes/srv/volumes/db"]),
        ("/srv/volumes/od[d] *", ["docker-volumes/srv/volumes/od[d] *"]),
        ("docker-volumes/srv/volumes/db", ["docker-volumes/srv/volumes/db"]),
        ("/srv/volumes/we", []),
        ("/srv", ["docker-volumes/srv/volumes"]),
    ],
)
def test_paths_and_globs(manifest: Path, path: str, selected: List[str]) -> None:
    assert chosen(manifest, Wish(paths=(path,))) == selected


def test_a_volume_is_a_name_below_the_volumes_also_without_a_configuration(
    manifest: Path,
) -> None:
    assert chosen(manifest, Wish(volumes=("d?",))) == ["docker-volumes/srv/volumes/db"]
    selected = measure(manifest, Chooser(Wish(volumes=("web",)), ()))
    assert (selected.entries, selected.files) == (4, 2)
    with pytest.raises(ConfigError):
        Chooser(Wish(volumes=("web/a",)), SOURCES)


def test_what_is_not_there_is_an_error_with_a_guess(manifest: Path) -> None:
    with pytest.raises(BackupError, match=r"no volume wbe\. Its volumes are web"):
        measure(manifest, Chooser(Wish(volumes=("web", "wbe")), SOURCES))
    with pytest.raises(BackupError, match=r"no tree x\. Its trees are docker-volumes, system"):
        measure(manifest, Chooser(Wish(trees=("x",)), SOURCES))


def test_a_boards_identity_is_spared_unless_it_is_named(manifest: Path) -> None:
    assert chosen(manifest, Wish(trees=("system-config",))) == [
        "system-config/etc/cron.d",
        "system-config/etc/ssh/sshd_config",
    ]
    assert chosen(manifest, Wish(paths=("/etc/ssh",))) == ["system-config/etc/ssh/sshd_config"]
    assert chosen(manifest, Wish(paths=("/etc/hostname", "/etc/ssh/ssh_host_*"))) == [
        "system-config/etc/hostname",
        "system-config/etc/ssh/ssh_host_rsa_key",
    ]
    # A comparison looks at everything.
    assert chosen(manifest, Wish(trees=("system-config",)), spared=False) == [
        "system-config/etc/cron.d",
        "system-config/etc/hostname",
        "system-config/etc/network",
        "system-config/etc/ssh",
    ]


def test_identity_reaches_below_a_directory() -> None:
    assert is_identity("/etc/network/interfaces")
    assert not is_identity("/etc/network/interfaces", ["/etc/network"])
    assert not is_identity("/etc/networks")
    assert is_identity("/etc/hostname", ["/etc"])
