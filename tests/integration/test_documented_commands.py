# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command line of the documents is run as it stands there, or says here why not.

This file runs those for any machine; test_documented_board.py those that are typed on the board.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from b2_standin.client import StandIn

from .any_machine import ORDINARY, ROOT, SYSTEM_PATH, AnyMachine, User, any_machine
from .document_commands import documented_lines
from .document_host import DocumentHost
from .night_host import differences, mounted_ssd
from .second_place import UsbDisk
from .test_documented_board import BOARD_LINES
from .test_restore import clean_python

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an SSD needs root")

_ANSIBLE = "needs a board over SSH and a vault's password: molecule runs the playbook"
_MAKE = "starts this very set of tests, or one like it"
_ACCOUNT = "needs an account at Backblaze"
_INSTALL = "installs from the internet"
_DOCKER = "needs Docker of its own: "

# Lines that are not run, and why.
NOT_RUN = {
    "make demo": "the demo is a test of its own, and takes minutes",
    "DEMO_ARCH=native make demo": "the demo is a test of its own, and takes minutes",
    "make demo-clean": "would remove what a demo made on this machine",
    "make test": _MAKE,
    "make lint": _MAKE,
    "make architecture": "draws what tests/tools/test_draw_architecture.py compares",
    "make faults FAULTS=boot": "breaks off nights of a whole virtual machine for an hour",
    "make bench": "measures for many minutes",
    "b2 account authorize": _ACCOUNT,
    "b2 key create --bucket my-potato-backup --name-prefix potato/ potato "
    "listFiles,readFiles,writeFiles": _ACCOUNT,
    "b2 bucket create my-potato-backup allPrivate --lifecycle-rule   '{\"fileNamePrefix\": \"\", "
    '"daysFromHidingToDeleting": 30, "daysFromStartingToCancelingUnfinishedLargeFiles": 1}\'':
    _ACCOUNT,
    "pip install b2": _INSTALL,
    "pip install b2sdk": _INSTALL,
    "ansible-galaxy collection install lepotato.backup": _INSTALL,
    "ansible-vault encrypt inventory/group_vars/potato/vault.yml": "Ansible's own command",
    **dict.fromkeys(
        (
            "ansible-playbook -i inventory/hosts.yml --ask-vault-pass " + rest
            for rest in (
                "lepotato.backup.site",
                "playbooks/site.yml",
                "lepotato.backup.restore",
                "lepotato.backup.restore -e lepotato_backup_restore_from=second",
                "lepotato.backup.bucket --check --diff",
                "lepotato.backup.site -e staging_accept_new_disks=true",
            )
        ),
        _ANSIBLE,
    ),
    "lepotato-backup containers": _DOCKER + "the capture's tests have containers",
    "lepotato-backup start": _DOCKER + "test_compose_v2.py runs it",
    "systemctl restart docker": "would restart the Docker of this machine",
    "systemctl restart pihole-FTL": "needs a Pi-hole without Docker",
    "unzip -p rclone-v1.75.2-linux-arm64.zip '*/rclone' | sha256sum": "needs a release's zip file",
}  # fmt: skip

LIST = "scripts/lepotato-backup restore --rclone-config rclone.conf"
WHOLE = "scripts/lepotato-backup restore daily --target DIR --rclone-config rclone.conf"
ONE = (
    "scripts/lepotato-backup restore daily --path /opt/docker-compose/home/compose.yml "
    "--target DIR --rclone-config rclone.conf"
)
SECOND_LIST = "scripts/lepotato-backup restore --from second --rclone-config rclone.conf"
SECOND_WHOLE = (
    "scripts/lepotato-backup restore daily --from second --target DIR --rclone-config rclone.conf"
)
COPY = "rclone --config rclone.conf copy b2-encrypted: DIR"
FINISH = "scripts/lepotato-backup restore --from-downloaded DIR"
SYNC = "rclone --config rclone.conf sync --b2-version-at VERSION_AT b2-encrypted:daily DIR/daily"
FINISH_POINT = "scripts/lepotato-backup restore POINT --from-downloaded DIR"


class Scene:
    """A board with one night, and another machine."""

    def __init__(self, host: DocumentHost, machine: AnyMachine) -> None:
        self.host, self.machine = host, machine
        self.point: str = host.night()["point"]

    def work(self, user: User, second: bool = False) -> Path:
        conf = (
            self.machine.second_conf(str(self.host.usb.path))
            if second
            else self.machine.b2_conf(self.host)
        )
        return self.machine.work_directory(user, conf)

    def must(self, line: str, work: Path, user: User, code: int = 0, **names: str) -> str:
        """Type the documents' *line*, with *names* for its placeholders."""
        typed = re.sub(r"\bDIR\b", "new/out", line)
        for name, value in names.items():
            typed = re.sub(rf"\b{name}\b", value, typed)
        typed = typed.replace("/opt/docker-compose", str(self.host.compose))
        done = self.machine.run(typed, work, user)
        assert done.returncode == code, f"{typed}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def assert_whole(self, tree: Path, user: User) -> None:
        """All that was, but for owners that only root can set."""
        options = () if user.is_root else ("--no-owner", "--no-group")
        for name, live in (("volumes", self.host.volumes), ("compose", self.host.compose)):
            restored = tree / f"docker-{name}{live}"
            assert differences(live, restored, *options) == ""


Check = Callable[[Scene, User], None]


def _lists(line: str, second: bool) -> Check:
    def check(scene: Scene, user: User) -> None:
        work = scene.work(user, second)
        assert scene.point in scene.must(line, work, user)
        assert os.listdir(work) == ["rclone.conf"]

    return check


def _whole(line: str, second: bool) -> Check:
    def check(scene: Scene, user: User) -> None:
        work = scene.work(user, second)
        told = scene.must(line, work, user, 0 if user.is_root else 3)
        assert "every checksum right" in told
        scene.assert_whole(work / "new/out", user)

    return check


def _one_file(scene: Scene, user: User) -> None:
    work = scene.work(user)
    scene.must(ONE, work, user, 0 if user.is_root else 3)
    (found,) = (path for path in (work / "new/out").rglob("*") if path.is_file())
    assert found == work / f"new/out/docker-compose{scene.host.compose}/home/compose.yml"
    assert found.read_text() == (scene.host.compose / "home/compose.yml").read_text()


def _plain(scene: Scene, user: User) -> None:
    """The story of plain rclone: fetched, finished, brought to the point's time, finished."""
    work, code = scene.work(user), 0 if user.is_root else 3
    scene.must(COPY, work, user)
    out = work / "new/out"
    assert {"daily", "manifests", "points"} <= set(os.listdir(out))
    scene.must(FINISH, work, user, code)
    scene.assert_whole(out / "daily", user)
    (at,) = re.findall(r'"version_at": "(.*)"', (out / f"points/{scene.point}.json").read_text())
    lost = out / f"daily/docker-compose{scene.host.compose}/home/compose.yml"
    lost.unlink()
    scene.must(SYNC, work, user, VERSION_AT=at)
    assert lost.exists()
    scene.must(FINISH_POINT, work, user, code, POINT=scene.point)
    scene.assert_whole(out / "daily", user)


# Every line for any machine, and what runs and checks it.
LINES: dict[str, Check] = {
    LIST: _lists(LIST, second=False),
    WHOLE: _whole(WHOLE, second=False),
    ONE: _one_file,
    SECOND_LIST: _lists(SECOND_LIST, second=True),
    SECOND_WHOLE: _whole(SECOND_WHOLE, second=True),
    **dict.fromkeys((COPY, FINISH, SYNC, FINISH_POINT), _plain),
}
# One story may run several lines.
STORIES = [
    pytest.param(check, user, id=f"{number}-{user.name}")
    for number, check in enumerate(dict.fromkeys(LINES.values()))
    for user in (ROOT, ORDINARY)
]


def test_every_documented_line_is_run_or_says_why_not() -> None:
    documented = documented_lines()
    known = [*LINES, *BOARD_LINES, *NOT_RUN]
    assert sorted(set(known)) == sorted(known), "in two lists"
    new = {line: name for line, name in documented.items() if line not in known}
    assert new == {}, "documented, but neither run nor in NOT_RUN"
    assert set(known) - set(documented) == set(), "in a list, but in no document"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("documents")
    usb = UsbDisk(directory)
    with (
        StandIn.start(directory / "b2") as stand_in,
        mounted_ssd(directory) as ssd,
        usb.plugged_in(),
        any_machine(stand_in) as machine,
    ):
        host = DocumentHost(directory, ssd, stand_in, usb)
        scene = Scene(host, machine)
        # Every user reads the USB disk, which lies where pytest lets nobody else in.
        public = machine.directory / "usb"
        shutil.copytree(usb.path, public / "backup")
        for path in (public, *public.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        usb.mount_point = public
        yield scene


@pytest.mark.parametrize(("check", "user"), STORIES)
def test_it_does_what_the_document_says(scene: Scene, check: Check, user: User) -> None:
    check(scene, user)


def test_the_oldest_python_is_enough(scene: Scene) -> None:
    LINES[WHOLE](scene, User("oldest", umask=0o077, python=clean_python()))


@pytest.mark.parametrize("user", [ROOT, ORDINARY])
def test_paths_as_people_type_them(scene: Scene, user: User) -> None:
    """From the checkout, from beside the program, with a "~" that no shell opens."""
    work = scene.work(user)
    home = scene.machine.work_directory(user, (work / "rclone.conf").read_text())
    code = 0 if user.is_root else 3
    shutil.copy(scene.machine.programs / "rclone", work / "my rclone")
    done = scene.machine.run(
        f"HOME={home} {WHOLE.replace('rclone.conf', '~/rclone.conf').replace('DIR', '~/out')}"
        .replace("--target ", "--target=").replace("--rclone-config ", "--rclone-config=")
        + " --rclone './my rclone'",
        work,
        user,
        SYSTEM_PATH,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    scene.assert_whole(home / "out", user)
    done = scene.machine.run(
        f"HOME={home} {FINISH.replace('-downloaded DIR', '-downloaded=~/none')}", work, user
    )
    assert f"{home}/none is no copy" in done.stderr


def test_a_disk_named_by_a_relative_path(scene: Scene) -> None:
    work = scene.machine.work_directory(ROOT, scene.machine.second_conf("usb/backup"))
    (work / "usb").symlink_to(scene.host.usb.mount_point)
    scene.must(SECOND_WHOLE, work, ROOT)
    scene.assert_whole(work / "new/out", ROOT)
    (work / "usb").unlink()
    told = scene.must(SECOND_WHOLE, work, ROOT, 2)
    assert "lies over 'usb/backup/potato', and no such directory is in" in told
    assert "mount the disk" in told


def test_errors_name_what_was_typed(scene: Scene) -> None:
    work = scene.work(ROOT)

    def refused(line: str, path: str = "") -> str:
        done = scene.machine.run(line, work, ROOT, path)
        assert done.returncode == 2, done.stdout + done.stderr
        for internal in ("key '", "config.json", "site.yml"):
            assert internal not in done.stderr
        return done.stderr

    whole = WHOLE.replace("DIR", "out")
    told = refused(whole, _programs_without_rclone(scene.machine))
    assert "--rclone: there is no program rclone on PATH. Install rclone (Debian:" in told
    told = refused(f"{whole} --rclone ./none")
    assert "--rclone: there is no program ./none. " in told
    told = refused(whole.replace("rclone.conf", "other.conf"))
    assert f"--rclone-config: {work}/other.conf can't be read" in told
    assert "docs/restore.md shows the file" in told
    assert "argument --rclone-config: it is empty" in refused(f"{whole} --rclone-config ''")
    assert "argument --from-downloaded: it is empty" in refused(FINISH.replace("DIR", "''"))
    (work / "rclone.conf").write_text("[b2-backup]\ntype = b2\naccount = 1\nkey = 2\n")
    assert "rclone.conf has no remote [b2-encrypted]" in refused(whole)
    told = refused(SECOND_WHOLE.replace("DIR", "out"))
    assert "rclone.conf has no remote [second-encrypted]" in told
    assert '"When B2 is gone"' in told
    assert not (work / "out").exists()


def test_without_an_rclone_conf_another_machine_is_told_of_it(scene: Scene) -> None:
    if Path("/etc/lepotato-backup/config.json").exists():
        pytest.skip("this machine has a configuration")
    done = scene.machine.run("scripts/lepotato-backup restore daily --target out",
                             scene.work(ORDINARY), ORDINARY)  # fmt: skip
    assert done.returncode == 2
    assert "on any other machine add --rclone-config FILE" in done.stderr


def _programs_without_rclone(machine: AnyMachine) -> str:
    """A directory that has what the script needs, and no rclone."""
    programs = machine.directory / "python"
    programs.mkdir()
    for name in ("python3", "readlink", "dirname"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    return str(programs)
