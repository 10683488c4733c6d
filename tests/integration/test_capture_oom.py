# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's OOM killer ends the program while containers are down: recovery starts them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from integration.container_lab import (
    DRIVER_TIMEOUT_SECONDS,
    Lab,
    go_on,
    needed_image,
    night,
    pause_at,
    tree_difference,
)
from integration.memory_limit import memory_limit
from integration.night_host import MODULE_UTILS
from integration.waits import wait_for

LIMIT_BYTES = 48 * 1024**2

# Everything is down at the first, and one is up again at the last.
DOWN_AT = {
    "cold": {"db": "exited", "app": "exited", "other": "running", "off": "exited"},
    "forget": {"db": "running", "app": "exited", "other": "running", "off": "exited"},
}


@pytest.mark.parametrize("step", DOWN_AT)
def test_recover_starts_what_was_down_when_the_kernel_killed_the_program(
    tmp_path: Path, step: str
) -> None:
    image = needed_image()
    with memory_limit(LIMIT_BYTES) as limit, Lab(tmp_path / "lab", image) as lab:
        lab.run("db", service="db")
        lab.run("app", service="app", depends_on="db:service_started:false")
        lab.run("other", labels={"lepotato.backup.stop": "never"})
        lab.run("off", command="exit 0")
        wait_for(lambda: lab.states()["off"] == "exited", "off has ended")
        before = lab.states()
        process = pause_at(lab, "plan", "--eat-memory-at", step)
        limit.add(process.pid)
        killed = go_on(process)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert limit.kills() == 1
        assert killed.stderr.splitlines()[-1] == f"step {step} 1"
        assert lab.states() == DOWN_AT[step]

        recover = (
            f"import sys; from {MODULE_UTILS}.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        config_path = lab.directory / "config.json"
        done = subprocess.run(
            [sys.executable, "-c", recover, "--config", str(config_path), "recover", "--json"],
            check=False,
            capture_output=True,
            text=True,
            timeout=DRIVER_TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        # Dependencies first; what runs already is left alone.
        assert json.loads(done.stdout)["started"][-1] == lab.name("app")
        assert lab.states() == before
        assert not lab.stopped_file.exists()
        night(lab)
        assert lab.states() == before
        assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []
