# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real containers for the tests of the capture, on the machine's own Docker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from tools.docker import client, daemon_problem, image_exists
from tools.images import ensure_image, services

from .waits import wait_until_stopped

CHECKOUT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("capture_driver.py")
# Only for what hangs: a driver that works ends by itself.
DRIVER_TIMEOUT_SECONDS = 300.0
PROGRAM = (
    "import sys; "
    "from ansible_collections.lepotato.backup.plugins.module_utils.cli.main import main; "
    "sys.exit(main(sys.argv[1:]))"
)

# Ends at once on SIGTERM and keeps writing nothing.
IDLE = 'trap "exit 0" TERM; while :; do sleep 0.05; done'


def needed_image() -> str:
    """The image of the test containers; skips the test where it can't be had."""
    problem = daemon_problem()
    if problem:
        pytest.skip(f"no Docker: {problem}")
    tag = services().tag
    if image_exists(tag):
        return tag
    if os.geteuid() != 0:
        pytest.skip(f"the image {tag} is not there, and making it needs root")
    return ensure_image(services(), say=_say)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def docker(*argv: str, socket: str = "", check: bool = True) -> str:
    """Run one docker command and return what it printed."""
    where = ["-H", f"unix://{socket}"] if socket else []
    done = subprocess.run(
        [client(), *where, *argv], capture_output=True, text=True, check=False, timeout=300
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(argv)}: {done.stderr}")
    return done.stdout.strip()


@dataclass
class Lab:
    """Containers and directories of one test; names carry a prefix of their own.

    Use it as a context manager: it removes its containers.
    """

    directory: Path
    image: str
    socket: str = "/var/run/docker.sock"
    prefix: str = field(default_factory=lambda: f"lpb-capture-{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> Lab:
        for name in ("ssd/docker/volumes", "opt", "state"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "opt/compose.yml").write_text("services: {}\n")
        return self

    def __exit__(self, *_unused: object) -> None:
        names = docker(
            "ps", "-aq", "--filter", f"label=lpb-lab={self.prefix}", socket=self.socket
        ).split()
        if names:
            docker("rm", "-f", "-v", *names, socket=self.socket, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def volumes(self) -> Path:
        return self.directory / "ssd/docker/volumes"

    @property
    def daily(self) -> Path:
        return self.directory / "ssd/backup-staging/daily"

    @property
    def stopped_file(self) -> Path:
        return self.directory / "state/stopped.json"

    def name(self, short: str) -> str:
        return f"{self.prefix}-{short}"

    def staged(self, path: Path) -> Path:
        """Where a file below the volumes is staged."""
        return self.daily / "docker-volumes" / path.relative_to("/")

    def run(
        self,
        short: str,
        *options: str,
        command: str = IDLE,
        volume: Optional[str] = None,
        network: str = "none",
        service: str = "",
        depends_on: str = "",
        labels: Optional[Dict[str, str]] = None,
    ) -> str:
        """Start a container with a directory of the volumes at /data; return its ID."""
        data = self.volumes / (short if volume is None else volume)
        data.mkdir(exist_ok=True)
        all_labels = {"lpb-lab": self.prefix, **(labels or {})}
        if service:
            all_labels["com.docker.compose.project"] = self.prefix
            all_labels["com.docker.compose.service"] = service
            all_labels["com.docker.compose.container-number"] = "1"
        if depends_on:
            all_labels["com.docker.compose.depends_on"] = depends_on
        argv = ["run", "-d", "--name", self.name(short), "--network", network]
        for label, value in all_labels.items():
            argv += ["--label", f"{label}={value}"]
        argv += ["-v", f"{data}:/data", *options, self.image, "sh", "-c", command]
        return docker(*argv, socket=self.socket)

    def states(self) -> Dict[str, str]:
        """The state of each container of the lab, by its short name."""
        text = docker(
            *("ps", "-a", "--filter", f"label=lpb-lab={self.prefix}"),
            *("--format", "{{.Names}} {{.State}}"),
            socket=self.socket,
        )
        pairs = (line.split() for line in text.splitlines())
        return {name[len(self.prefix) + 1 :]: state for name, state in pairs}

    def inspect(self, short: str) -> Dict[str, Any]:
        found: Dict[str, Any] = json.loads(docker("inspect", self.name(short), socket=self.socket))[
            0
        ]
        return found

    def config(self, **containers: object) -> Dict[str, object]:
        """A config.json over the lab's directories."""
        at = self.directory
        return {
            "host": "potato",
            "bucket": "bucket",
            "host_prefix": "potato",
            "paths": {
                "ssd": str(at / "ssd"),
                "staging": str(at / "ssd/backup-staging"),
                "state": str(at / "state"),
                "log": str(at / "log"),
            },
            "sources": [
                {"tree": "docker-volumes", "paths": [str(self.volumes)]},
            ],
            "containers": {
                "socket": self.socket,
                "stop_timeout_seconds": 5,
                "start_timeout_seconds": 60,
                **containers,
            },
        }

    def drive(
        self, *argv: str, config: Optional[Dict[str, object]] = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the driver in a process of its own; see capture_driver.py."""
        process = self.start_driver(*argv, config=config)
        try:
            stdout, stderr = process.communicate(timeout=DRIVER_TIMEOUT_SECONDS)
        finally:
            process.kill()
            process.wait()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def program(self, *argv: str, config: Dict[str, object]) -> subprocess.CompletedProcess[str]:
        """Run the program itself, as cron or the boot does."""
        path = self.directory / "config.json"
        path.write_text(json.dumps(config))
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "--config", str(path), *argv],
            check=False,
            capture_output=True,
            text=True,
            timeout=DRIVER_TIMEOUT_SECONDS,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")},
        )

    def start_driver(
        self, *argv: str, config: Optional[Dict[str, object]] = None
    ) -> subprocess.Popen[str]:
        path = self.directory / "config.json"
        path.write_text(json.dumps(config or self.config()))
        return subprocess.Popen(
            [sys.executable, str(DRIVER), str(path), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")},
        )


def night(lab: Lab, *argv: str, config: Optional[Dict[str, object]] = None) -> Dict[str, Any]:
    """A whole capture through the driver; asserts that it ended well and returns its answer."""
    done = lab.drive("--capture", *argv, config=config)
    assert done.returncode == 0, done.stderr
    answer: Dict[str, Any] = json.loads(done.stdout)
    return answer


def pause_at(
    lab: Lab, step: str, *argv: str, config: Optional[Dict[str, object]] = None
) -> subprocess.Popen[str]:
    """Start a capture that stops itself at *step*; let it go on with :func:`go_on`."""
    process = lab.start_driver(
        "--capture", "--at", step, "1", str(int(signal.SIGSTOP)), *argv, config=config
    )
    wait_until_stopped(process, f"the program is at {step}")
    return process


def go_on(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Let a program that was paused run to its end."""
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=DRIVER_TIMEOUT_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """Why a capture's groups failed, from the driver's answer."""
    answer = json.loads(done.stdout)
    return " ".join(answer["capture"]["failed_groups"].values())


def tree_difference(source: Path, staged: Path) -> List[str]:
    """What rsync would still change in *staged*; empty when both are identical."""
    done = subprocess.run(
        ["rsync", "-aHAXni", "--numeric-ids", "--checksum", "--delete"]
        + [f"{source}/", f"{staged}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
