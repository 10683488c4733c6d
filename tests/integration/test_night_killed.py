# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A night that is killed while a container is stopped: it runs again though nobody looks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid

import pytest

from .container_lab import docker, needed_image
from .night_host import NightHost
from .waits import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

# Kills who called it, once, when a container is stopped.
KILLING_RSYNC = """#!/bin/sh
if [ -e {state}/stopped.json ] && mkdir {flag} 2>/dev/null; then
    while [ "$({docker} inspect -f '{{{{.State.Running}}}}' {name})" = true ]; do sleep 0.1; done
    kill -9 $PPID
    sleep 60
fi
exec {rsync} "$@"
"""


def test_a_killed_night_is_followed_by_its_recovery(
    host: NightHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write_config(containers={"enabled": True, "socket": "/var/run/docker.sock"})
    name = f"lpb-killed-{uuid.uuid4().hex[:8]}"
    binaries = host.directory / "bin"
    binaries.mkdir()
    wrapper = binaries / "rsync"
    wrapper.write_text(
        KILLING_RSYNC.format(
            state=host.state,
            flag=host.directory / "killed",
            docker=shutil.which("docker"),
            name=name,
            rsync=shutil.which("rsync"),
        )
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    command = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    mount = f"{host.volumes}/db/_data:/data"
    docker(
        *("run", "-d", "--name", name, "--network", "none", "-v", mount, needed_image()),
        *("sh", "-c", command),
    )
    try:
        killed = host.program("run")
        assert killed.returncode == -signal.SIGKILL, killed.stderr

        def closed() -> bool:
            return (host.state / "last_run.json").exists()

        wait_for(closed, "the recovery has closed the killed run's record")
        assert docker("inspect", "-f", "{{.State.Running}}", name) == "true"
        assert not (host.state / "stopped.json").exists()
        assert f"started {name}, which an interrupted run had left stopped" in host.log()

        told = host.program("status")
        assert told.returncode == 1
        assert "interrupted: run " in told.stdout
        assert "was killed" in told.stdout
        record = json.loads(host.program("status", "--json").stdout)
        assert record["outcome"] == "interrupted"

        assert host.night()["point"]
        assert host.program("status").returncode == 0
        assert docker("inspect", "-f", "{{.State.Running}}", name) == "true"
    finally:
        docker("rm", "-f", name)
