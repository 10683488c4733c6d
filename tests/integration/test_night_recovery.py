# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A night that can do nothing else still starts what the one before left stopped."""

from __future__ import annotations

import json
from pathlib import Path

from .container_lab import Lab, needed_image


def test_containers_come_back_though_rclone_conf_is_gone_and_the_ssd_too(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", needed_image()) as lab:
        lab.run("web")
        config = lab.config(include=[lab.name("web")])
        killed = lab.drive("--capture", "--at", "cold", "1", "9", config=config)
        assert killed.returncode == -9
        assert lab.states() == {"web": "exited"}

        night = lab.program("run", config={**config, "rclone": {"config": "/no/such.conf"}})
        assert night.returncode == 2
        assert "/no/such.conf can't be read" in night.stderr
        assert lab.states() == {"web": "running"}
        record = json.loads((lab.directory / "state/last_run.json").read_text())
        assert record["outcome"] == "failed"
        assert any("web" in warning for warning in record["warnings"])
