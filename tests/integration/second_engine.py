# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of its own for tests that restart it: the machine's own is everybody's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import List, Optional, Type

import pytest

from tools.docker import client

BUSYBOX = Path("/bin/busybox")
IMAGE = "lpb-busybox:engine"
READY_SECONDS = 240.0


class SecondEngine:
    """A dockerd with its own data, socket and containerd; containers have no network."""

    def __init__(self) -> None:
        # Short: a socket's path has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="lpb-engine-"))
        self.socket = str(self.directory / "docker.sock")
        self.process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> SecondEngine:
        self.start()
        self._import_image()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.end()
        for mount in self._mounts():
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        # A network of its own: with --bridge=none dockerd deletes docker0, also another engine's.
        argv = ["unshare", "--net", "dockerd", "--data-root", str(self.directory / "data")]
        argv += ["--exec-root", str(self.directory / "exec"), "-H", f"unix://{self.socket}"]
        argv += ["--pidfile", str(self.directory / "pid"), "--bridge=none", "--iptables=false"]
        argv += ["--ip6tables=false", "--cgroup-parent=lpb-engine"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS
        while self._docker("version").returncode != 0:
            log_tail = (self.directory / "log").read_text()[-1000:]
            if self.process.poll() is not None:
                self.end()
                pytest.skip(f"a second dockerd does not run here: {log_tail}")
            if time.monotonic() > deadline:
                self.end()
                pytest.fail(f"the second dockerd does not answer: {log_tail}")
            time.sleep(0.1)

    def end(self) -> None:
        """End the engine as a restart of its service does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=READY_SECONDS)
            self.process = None

    def _import_image(self) -> None:
        root = self.directory / "root"
        (root / "bin").mkdir(parents=True)
        (root / "tmp").mkdir()
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for applet in ("sh", "sleep", "cat", "test", "touch"):
            (root / "bin" / applet).symlink_to("busybox")
        tar = subprocess.run(
            ["tar", "-C", str(root), "-c", "."], capture_output=True, check=True
        ).stdout
        argv = [client(), "-H", f"unix://{self.socket}", "import", "-", IMAGE]
        subprocess.run(argv, input=tar, capture_output=True, check=True)

    def _docker(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        command = [client(), "-H", f"unix://{self.socket}", *argv]
        return subprocess.run(command, capture_output=True, check=False)

    def _mounts(self) -> List[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines]
        return sorted((p for p in points if p.startswith(f"{self.directory}/")), reverse=True)


def needed_engine() -> SecondEngine:
    """A second engine, not started; skips the test where it can't be had."""
    if os.geteuid() != 0:
        pytest.skip("a second dockerd needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("dockerd is not installed")
    if not BUSYBOX.exists():
        pytest.skip("busybox-static is not installed")
    return SecondEngine()
