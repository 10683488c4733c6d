# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine: power on, power cut, and what it tells from inside.

Under KVM where that can run a stock kernel, otherwise emulated, at about a tenth of the speed. Some
hosts have a /dev/kvm that can't: they are virtual machines without nested virtualization.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from ..shell import ToolError, run, tail

MEMORY_MIB = 2048  # as the board has
CORES = 2
KVM = "/dev/kvm"
# Under a KVM that is itself a guest, this one register can't be set.
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host,arch-capabilities=off"),
    "emulation": ("-accel", "tcg,thread=multi", "-cpu", "max"),
}
# How long a kernel may take until it says its first word under KVM.
KVM_PROBE_SECONDS = 10.0
# Where qemu's user network has the host.
HOST_ADDRESS = "10.0.2.2"
# Emulated, on two cores that others use too.
BOOT_SECONDS = 600.0
POLL_SECONDS = 0.2
_RUNNING = re.compile(r"^(\S+) running: ?(.*)$", re.MULTILINE)


class Machine:
    """One machine with its disks in *folder*; *kernel* holds vmlinuz and initrd.img."""

    def __init__(self, folder: Path, kernel: Path, accelerator_name: str) -> None:
        self.folder = folder
        self.kernel = kernel
        self.accelerator = accelerator_name
        self.key = folder / "key"
        self.ssh_port = _free_port()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._seen = 0

    def power_on(self) -> None:
        """Start it; returns at once."""
        argv = ["qemu-system-x86_64", *ACCELERATORS[self.accelerator], "-smp", str(CORES)]
        argv += ["-m", str(MEMORY_MIB), "-display", "none", "-monitor", "none"]
        argv += [
            "-kernel",
            str(self.kernel / "vmlinuz"),
            "-initrd",
            str(self.kernel / "initrd.img"),
        ]
        argv += ["-append", "root=/dev/vda rw console=ttyS0 quiet"]
        for disk in ("root.img", "ssd.img"):
            argv += ["-drive", f"file={self.folder / disk},format=raw,if=virtio"]
        argv += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"]
        argv += ["-device", "virtio-net-pci,netdev=net"]
        for name in ("console", "watch"):
            log = self.folder / f"{name}.log"
            argv += ["-chardev", f"file,id={name},path={log},append=on", "-serial"]
            argv += [f"chardev:{name}"]
        self._seen = len(self._watch_log())
        with (self.folder / "qemu.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file
            )

    def power_cut(self) -> None:
        """End it this instant: what it had not written to its disks is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def told(self) -> str:
        """Return what it has said by itself since it was switched on or :meth:`forget` called."""
        return self._watch_log()[self._seen :]

    def forget(self) -> None:
        """Let :meth:`told` begin from here."""
        self._seen = len(self._watch_log())

    def running(self) -> Optional[list[str]]:
        """Return the containers that it last said run, None when it has said nothing yet."""
        found = _RUNNING.findall(self.told())
        return sorted(found[-1][1].split()) if found else None

    def wait(self, what: str, condition: Callable[[], bool], seconds: float) -> float:
        """Wait for *condition* and return how long it took.

        Raises:
            ToolError: it did not come, or the machine ended.
        """
        began = time.monotonic()
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise ToolError(f"the machine ended: {tail(self._log('qemu'))}")
            if time.monotonic() - began > seconds:
                raise ToolError(
                    f"not after {seconds:g} s: {what}; it last said:\n{tail(self.told(), 5)}\n"
                    f"{tail(self._log('console'), 10)}"
                )
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def wait_for_login(self) -> float:
        """Wait until somebody could log in; return how long it took."""
        return self.wait("a login", lambda: self.ssh("true", check=False)[0] == 0, BOOT_SECONDS)

    def ssh(self, command: str, *, check: bool = True, seconds: float = 600) -> tuple[int, str]:
        """Run a shell command in it as root; return its exit code and what it printed.

        Raises:
            ToolError: it failed and *check* is set.
        """
        argv = ["ssh", "-i", str(self.key), "-p", str(self.ssh_port), *self.ssh_options()]
        done = run([*argv, "root@127.0.0.1", command], check=check, timeout_seconds=seconds)
        return done.returncode, (done.stdout + ("" if check else done.stderr)).strip()

    @staticmethod
    def ssh_options() -> list[str]:
        """Return the options for a host that is new in every run."""
        words = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        return [part for word in (*words, "ConnectTimeout=60") for part in ("-o", word)]

    def make_key(self) -> str:
        """Make the key that opens it; return its public half."""
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        return self.key.with_suffix(".pub").read_text()

    def _watch_log(self) -> str:
        return self._log("watch")

    def _log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""


def accelerator(kernel: Path) -> str:
    """Return which of ACCELERATORS boots the kernel in the folder *kernel* here."""
    if not os.access(KVM, os.R_OK | os.W_OK):
        return "emulation"
    argv = ["qemu-system-x86_64", *ACCELERATORS["kvm"], "-m", "256", "-display", "none"]
    argv += ["-monitor", "none", "-serial", "stdio", "-kernel", str(kernel / "vmlinuz")]
    argv += ["-append", "console=ttyS0 earlyprintk=serial"]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        timer = threading.Timer(KVM_PROBE_SECONDS, process.kill)
        timer.start()
        output = process.stdout or ()
        boots = any(b"Linux version" in line for line in output)
        timer.cancel()
        process.kill()
    return "kvm" if boots else "emulation"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
