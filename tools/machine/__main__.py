# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on a whole machine: python -m tools.machine [power-cut] [reboot] [oom-kill]

A virtual machine with its own kernel, systemd, cron and Docker on an SSD is set up by site.yml.
Its nights, which cron starts, are broken off while every container is stopped: by a power cut, by a
reboot, and by the kernel's OOM killer. What runs afterwards is told by the machine itself, on a
serial line, so that nobody logs in before the boot recovery has done its work.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .. import setup
from ..host import DOCKER_PACKAGES, architecture, ensure_packages
from ..lab.inventory import write_inventory
from ..lab.names import LabNames
from ..lab.playbook import play
from ..lab.standin import start_standin, stop_standin
from ..paths import log_dir
from ..report import FAILED, Report
from ..shell import ToolError
from .disk import SSD_MOUNT, ensure_root, make_disks
from .qemu import HOST_ADDRESS, Machine, accelerator

NAMES = LabNames("machine")
HOST = "potato"
BUCKET = "lepotato-machine"
PACKAGES = {
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "openssh-client": "/usr/bin/ssh-keygen",
    "qemu-system-x86": "/usr/bin/qemu-system-x86_64",
}
STACK = ("app", "db", "web")
SCRIPT = "/opt/backup/scripts/backup-to-b2.sh"
RECOVERY_UNIT = "lepotato-backup-recover.service"
# cron looks once a minute; all of it emulated, on two cores that others use too.
HOLD_SECONDS = 600.0
BACK_SECONDS = 600.0

# An image of busybox, and three services of which one needs the other: one capture group.
MAKE_STACK = """
set -e
mkdir -p /tmp/image/bin /mnt/ssd/docker/volumes /opt/docker-compose
cp /bin/busybox /tmp/image/bin
for name in sh date sleep; do ln -s busybox "/tmp/image/bin/$name"; done
tar -C /tmp/image -c . | docker import - lpb-busybox >/dev/null
echo 'services: {}' > /opt/docker-compose/compose.yml
label=com.docker.compose
start() {
    mkdir -p "/mnt/ssd/docker/volumes/$1"
    docker run -d --name "$1" --network none --restart "$2" \
        --label $label.project=stack --label "$label.service=$1" \
        --label "$label.depends_on=$3" -v "/mnt/ssd/docker/volumes/$1:/data" lpb-busybox \
        sh -c 'trap "exit 0" TERM; while :; do date >> /data/rows; sleep 1; done' >/dev/null
}
start db unless-stopped ''
start app no db:service_started:false
start web always app:service_started:false
"""


def main(argv: Sequence[str]) -> int:
    """Run the scenario and print what was seen; 1 when something is not as it must be."""
    if unknown := [word for word in argv if word not in FAULTS]:
        sys.stderr.write(f"{unknown[0]}: not one of {', '.join(FAULTS)}\n")
        return 2
    report = Report()
    log = log_dir() / "machine-ansible.log"
    log.unlink(missing_ok=True)
    try:
        machine = _make(report)
    except ToolError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    try:
        _boot(report, machine)
        _install(report, machine, log)
        _first_night(report, machine)
        for name in argv or FAULTS:
            _case(report, machine, name, FAULTS[name])
    except ToolError as error:
        sys.stderr.write(f"\n{error}\n")
    finally:
        machine.power_cut()
        stop_standin(NAMES)
    print()
    print(report.table("faults on a whole machine"))
    return 1 if report.count(FAILED) else 0


def _make(report: Report) -> Machine:
    with report.step("set-up: what is missing here"):
        if architecture() != "amd64":
            raise ToolError("the machine is an amd64 one, and this host is not")
        setup.prepare(["lint"], report.say)
        ensure_packages({**DOCKER_PACKAGES, **PACKAGES}, report.say)
    with report.step("machine: Debian 12 and an SSD") as detail:
        root = ensure_root(report.say)
        if NAMES.folder.exists():
            shutil.rmtree(NAMES.folder)
        NAMES.folder.mkdir(parents=True, mode=0o700)
        machine = Machine(NAMES.folder, root, accelerator(root))
        make_disks(NAMES.folder, root, machine.make_key())
        detail.text = machine.accelerator
    return machine


def _boot(report: Report, machine: Machine) -> None:
    with report.step("first boot") as detail:
        machine.power_on()
        detail.text = f"login after {machine.wait_for_login():.0f} s"
    with report.step("a stack of three containers") as detail:
        machine.ssh(MAKE_STACK)
        _wait_until_back(machine)
        kernel, docker = "uname -r", "docker version --format '{{.Server.Version}}'"
        detail.text = f"Linux {machine.ssh(kernel)[1]}, Docker {machine.ssh(docker)[1]}"


def _install(report: Report, machine: Machine, log: Path) -> None:
    account = start_standin(NAMES, BUCKET, HOST)
    # From inside, the host's loopback is at another address.
    account = replace(account, url=account.url.replace("127.0.0.1", HOST_ADDRESS))
    write_inventory(
        NAMES,
        HOST,
        account,
        architecture(),
        ssd=SSD_MOUNT,
        board={
            "ansible_host": "127.0.0.1",
            "ansible_port": machine.ssh_port,
            "ansible_ssh_private_key_file": str(machine.key),
            "ansible_ssh_common_args": " ".join(machine.ssh_options()),
        },
    )
    with report.step("site.yml") as detail:
        recap = play(NAMES, "site", log)
        detail.text = f"ok={recap.ok} changed={recap.changed}"


def _first_night(report: Report, machine: Machine) -> None:
    with report.step("a night") as detail:
        detail.text = _good_night(machine)


def _case(report: Report, machine: Machine, name: str, fault: Callable[[Machine], str]) -> None:
    with report.step(f"{name}: cron's night, held with all stopped"):
        machine.forget()
        machine.ssh("touch /run/hold /run/night")
        machine.wait("the cold pass", lambda: "held" in machine.told(), HOLD_SECONDS)
        machine.wait("nothing runs", lambda: machine.running() == [], HOLD_SECONDS)
    with report.step(f"{name}: all run again") as detail:
        detail.text = fault(machine)
        report.say(machine.told())
    with report.step(f"{name}: what recovered") as detail:
        machine.wait_for_login()
        left, listed = machine.ssh("cat /var/lib/lepotato-backup/stopped.json", check=False)
        if left == 0:
            raise ToolError(f"the set of stopped containers is not empty: {listed}")
        report.say(machine.ssh(f"journalctl -b --no-pager -o cat -u {RECOVERY_UNIT}")[1])
    with report.step(f"{name}: the next night") as detail:
        detail.text = _good_night(machine)


def _cut_power(machine: Machine) -> str:
    machine.power_cut()
    machine.power_on()
    return f"{_wait_until_back(machine):.0f} s after power on, nobody logged in"


def _reboot(machine: Machine) -> str:
    machine.forget()
    # The connection may go before the answer comes.
    machine.ssh("systemctl reboot", check=False)
    machine.wait("the next boot", lambda: "boot " in machine.told(), BACK_SECONDS)
    return f"{_wait_until_back(machine):.0f} s after Docker came, nobody logged in"


def _run_out_of_memory(machine: Machine) -> str:
    """Have the kernel choose the program as it does when memory is gone."""
    # What waits is rsync's stand-in; its parent is the program.
    _code, pid = machine.ssh("ps -o ppid= -p $(pgrep -o -f 'sbin/[r]sync')")
    machine.ssh(f"echo 1000 > /proc/{pid}/oom_score_adj; echo f > /proc/sysrq-trigger")
    # The kernel does it from a work queue, a moment later.
    look = f"dmesg | grep 'Killed process {pid} '"
    _code, killed = machine.ssh(f"for i in 1 2 3 4 5; do {look} && exit; sleep 1; done; exit 1")
    machine.ssh("rm /run/hold")
    return f"{_wait_until_back(machine):.0f} s after the kill, nobody called: {killed[:100]}"


def _wait_until_back(machine: Machine) -> float:
    return machine.wait(
        "all containers run", lambda: machine.running() == sorted(STACK), BACK_SECONDS
    )


def _good_night(machine: Machine) -> str:
    code, answer = machine.ssh(f"{SCRIPT} --json", check=False)
    if code != 0:
        raise ToolError(f"the night ended with {code}: {answer[-2000:]}")
    record = json.loads(answer[answer.index("{") :])
    _wait_until_back(machine)
    return f"sealed {record['point']}"


FAULTS: dict[str, Callable[[Machine], str]] = {
    "power-cut": _cut_power,
    "reboot": _reboot,
    "oom-kill": _run_out_of_memory,
}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
