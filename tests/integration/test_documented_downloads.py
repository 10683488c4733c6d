# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain rclone after a night that was broken off: the message's command brings the point back."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .any_machine import ROOT, AnyMachine, any_machine
from .document_host import DocumentHost
from .night_host import BUCKET, differences, mounted_ssd
from .second_place import UsbDisk, change
from .test_documented_commands import COPY, FINISH, FINISH_POINT, SECOND_WHOLE, SYNC
from .test_second import kill_on_second, next_second
from .waits import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[DocumentHost]:
    usb = UsbDisk(tmp_path)
    with (
        StandIn.start(tmp_path / "b2") as stand_in,
        mounted_ssd(tmp_path) as ssd,
        usb.plugged_in(),
    ):
        yield DocumentHost(tmp_path, ssd, stand_in, usb)


@pytest.fixture
def machine(host: DocumentHost) -> Iterator[AnyMachine]:
    with any_machine(host.stand_in) as machine:
        yield machine


def kept(host: DocumentHost) -> Path:
    """A copy of the volumes as they are now."""
    copy = host.directory / "as-it-was"
    subprocess.run(["cp", "-a", host.volumes, copy], check=True)
    return copy


def replace_most(host: DocumentHost) -> None:
    """Contents, lengths and names change; some files go, some come."""
    base = host.volumes / "db/_data/base"
    for number in range(40):
        (base / f"{number:03d}").write_bytes(os.urandom(500 + number))
    for number in range(50, 60):
        (base / f"{number:03d}").unlink()
        (base / f"new-{number}").write_bytes(b"new")


def kill_during_upload(host: DocumentHost) -> None:
    """Start a night and kill it once it has replaced something in the bucket."""
    before = len(host.stand_in.files(BUCKET))
    with (
        host.held("b2_upload_file", skip=8) as is_held,
        subprocess.Popen(
            host.command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as night,
    ):
        wait_for(
            lambda: is_held() and len(host.stand_in.files(BUCKET)) >= before + 5,
            "files are replaced",
            night,
        )
        night.kill()


def cut_during_upload(host: DocumentHost) -> None:
    """A night whose connection is gone after a few files."""
    host.stand_in.fault("cap_exceeded", "b2_upload_file", count=0, skip=5)
    assert host.program("run").returncode == 1
    host.stand_in.clear_faults()


def typed(machine: AnyMachine, line: str, work: Path, code: int) -> str:
    done = machine.run(re.sub(r"\bDIR\b", "out", line), work, ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("break_off", [kill_during_upload, cut_during_upload])
def test_the_message_names_the_command_that_helps(
    host: DocumentHost, machine: AnyMachine, break_off: Callable[[DocumentHost], None]
) -> None:
    point = host.night()["point"]
    was = kept(host)
    next_second()
    replace_most(host)
    break_off(host)
    work = machine.work_directory(ROOT, machine.b2_conf(host))
    typed(machine, COPY, work, 0)
    told = typed(machine, FINISH, work, 1)
    assert f"{point} is not whole" in told
    (named,) = re.findall(r"then repeat this command: (rclone .*) \. What is missing", told)
    # It is the document's line, for this point and this directory.
    parts = re.split(r"VERSION_AT|DIR", SYNC)
    assert re.fullmatch(r"\S+".join(map(re.escape, parts)), named), named
    typed(machine, named, work, 0)
    typed(machine, FINISH, work, 0)
    assert differences(was, work / f"out/daily/docker-volumes{host.volumes}") == ""


def test_an_older_night_after_a_newer_one(host: DocumentHost, machine: AnyMachine) -> None:
    first = host.night()["point"]
    was = kept(host)
    next_second()
    replace_most(host)
    host.night()
    work = machine.work_directory(ROOT, machine.b2_conf(host))
    typed(machine, COPY, work, 0)
    (at,) = re.findall(r'"version_at": "(.*)"', (work / f"out/points/{first}.json").read_text())
    typed(machine, SYNC.replace("VERSION_AT", at), work, 0)
    typed(machine, FINISH_POINT.replace("POINT", first), work, 0)
    assert differences(was, work / f"out/daily/docker-volumes{host.volumes}") == ""


def test_the_second_destination_after_a_killed_night(
    host: DocumentHost, machine: AnyMachine
) -> None:
    """There is no time to go back to: the program finds what lies in ``history/``."""
    host.night()
    was = kept(host)
    next_second()
    change(host, 1)
    replace_most(host)
    kill_on_second(host, host.usb)
    work = machine.work_directory(ROOT, machine.second_conf(str(host.usb.path)))
    typed(machine, COPY.replace("b2-encrypted:", "second-encrypted:"), work, 0)
    told = typed(machine, FINISH, work, 1)
    assert "--from second --rclone-config rclone.conf --target OTHER_DIR" in told
    typed(machine, SECOND_WHOLE.replace("DIR", "other"), work, 0)
    assert differences(was, work / f"other/docker-volumes{host.volumes}") == ""
