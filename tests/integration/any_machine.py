# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that is no board: a checkout, rclone and an rclone.conf, no Ansible, no collection.

It lies in a directory that every user can enter, which pytest's own are not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from b2_standin.client import StandIn

from .document_commands import CHECKOUT, documented_file
from .night_host import BUCKET, PREFIX, NightHost, rclone_binary

SYSTEM_PATH = "/usr/bin:/bin"
ORDINARY_ID = 65534
SECONDS_MAX = 600.0


class User(NamedTuple):
    """Who types, in which environment. *python* names another interpreter than the system's."""

    name: str
    uid: int = 0
    umask: int = 0o022
    python: str = ""

    @property
    def is_root(self) -> bool:
        return self.uid == 0


ROOT = User("root")
ORDINARY = User("ordinary", ORDINARY_ID, 0o077)


class AnyMachine:
    """Runs lines as a person types them in a shell: with a terminal, on which it says yes.

    The current directory, which is not the checkout, holds the rclone.conf.
    """

    def __init__(self, directory: Path, stand_in: StandIn) -> None:
        self.directory = directory
        self.stand_in = stand_in
        self.checkout = directory / "checkout"
        self.programs = directory / "programs"
        self.programs.mkdir(mode=0o755)
        for name in ("scripts", "plugins/module_utils"):
            shutil.copytree(
                CHECKOUT / name,
                self.checkout / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        shutil.copy(rclone_binary(), self.programs / "rclone")

    def work_directory(self, user: User, conf: str = "") -> Path:
        """A directory of *user*, with an rclone.conf in it."""
        work = Path(tempfile.mkdtemp(prefix=f"{user.name}-", dir=self.directory))
        (work / "rclone.conf").write_text(conf, encoding="utf-8")
        (work / "rclone.conf").chmod(0o600)
        for path in (work, work / "rclone.conf"):
            os.chown(path, user.uid, user.uid)
        return work

    def b2_conf(self, host: NightHost) -> str:
        """The rclone.conf of docs/restore.md, for the host's bucket."""
        key = host.key
        endpoint = next(
            line
            for line in self.stand_in.rclone_section(key).splitlines()
            if line.startswith("endpoint")
        )
        text = documented_file("docs/restore.md", "[b2-backup]")
        text = text.replace("account = KEY_ID", f"account = {key.application_key_id}")
        text = text.replace("key = KEY\n", f"key = {key.application_key}\n{endpoint}\n")
        text = text.replace("BUCKET/HOST_PREFIX", f"{BUCKET}/{PREFIX}")
        return self._with_passwords(text)

    def second_conf(self, path: str) -> str:
        """The rclone.conf of docs/restore.md for a disk at *path*."""
        text = documented_file("docs/restore.md", "[second-encrypted]")
        text = text.replace("/media/usb/backup/HOST_PREFIX", f"{path}/{PREFIX}")
        return self._with_passwords(text)

    def run(
        self, line: str, work: Path, user: User = ROOT, path: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Type *line* in *work*; ``scripts/`` are those of the checkout."""
        typed = line.replace("scripts/lepotato-backup", f"{self.checkout}/scripts/lepotato-backup")
        terminal, stdin = os.openpty()
        try:
            os.write(terminal, b"y\n")
            return subprocess.run(
                ["/bin/sh", "-c", typed],
                check=False,
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                cwd=work,
                # Nothing of the test's own environment; without a HOME at all for root.
                env={
                    "PATH": path or f"{SYSTEM_PATH}:{self.programs}",
                    **({} if user.is_root else {"HOME": str(self.directory / "nowhere")}),
                    **({"PYTHON": user.python} if user.python else {}),
                },
                user=user.uid,
                group=user.uid,
                extra_groups=[],
                umask=user.umask,
            )
        finally:
            os.close(terminal)
            os.close(stdin)

    def _with_passwords(self, text: str) -> str:
        told = {
            "what `rclone obscure -` makes of lepotato_backup_password\n": "one",
            "the same of lepotato_backup_password2": "two",
        }
        for words, password in told.items():
            obscured = subprocess.run(
                [self.programs / "rclone", "obscure", "-"],
                check=True,
                input=password,
                capture_output=True,
                text=True,
            ).stdout.strip()
            assert words in text
            text = text.replace(words, obscured + ("\n" if words.endswith("\n") else ""))
        return text


@contextmanager
def any_machine(stand_in: StandIn) -> Iterator[AnyMachine]:
    """A machine that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="any-machine-"))
    directory.chmod(0o755)
    try:
        yield AnyMachine(directory, stand_in)
    finally:
        shutil.rmtree(directory)
