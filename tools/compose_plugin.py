# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose v2 for the tests: Debian 13's package, unpacked beside what is installed.

Debian 12 has docker-compose 1.29 only. The plugin is one static program, so that it
runs on both, and Docker's client finds it through a configuration folder of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .host import Say, architecture
from .images import debian_mirror
from .paths import cache_dir
from .shell import run

VERSION = "2.26.1-4"
# architecture -> SHA-256 of the package, from the signed index of Debian 13
PACKAGES = {
    "amd64": "47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea",
    "arm64": "bbafaa666f3e7fa00ad36f2a8bab889f1c791ca8743d674e7267a3d07203869c",
}
PLUGIN = Path("cli-plugins/docker-compose")
# apt's own: it goes the way that apt is configured to go, and checks the hash.
APT_HELPER = "/usr/lib/apt/apt-helper"


def docker_config() -> Path:
    """Return the value of DOCKER_CONFIG with which "docker compose" is version 2."""
    return cache_dir() / "compose" / f"{VERSION}-{architecture()}"


def is_there() -> bool:
    """Tell whether it was fetched."""
    return (docker_config() / PLUGIN).exists()


def ensure_compose(say: Say) -> None:
    """Fetch, check and unpack the plugin unless it is there.

    Raises:
        ToolError: the mirror does not have it, or has another file by that name.
    """
    if is_there():
        return
    say(f"fetching docker compose {VERSION}")
    arch = architecture()
    name = f"docker-compose_{VERSION}_{arch}.deb"
    url = f"{debian_mirror()}/pool/main/d/docker-compose/{name}"
    target = docker_config() / PLUGIN
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        package, tree = Path(scratch) / name, Path(scratch) / "tree"
        run([APT_HELPER, "download-file", url, str(package), f"SHA256:{PACKAGES[arch]}"])
        run(["dpkg-deb", "--extract", str(package), str(tree)])
        unpacked = Path(scratch) / "docker-compose"
        shutil.copy(tree / "usr/libexec/docker" / PLUGIN, unpacked)
        unpacked.replace(target)
