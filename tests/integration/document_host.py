# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board that the documents speak of: its volume, its compose file, its disk, its commands."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from b2_standin.client import StandIn

from .any_machine import SYSTEM_PATH
from .document_commands import CHECKOUT
from .night_host import PREFIX, NightHost, differences
from .second_place import UsbDisk, use_disk

TEMPLATES = CHECKOUT / "roles/agent/templates"
SECONDS_MAX = 600.0


class DocumentHost(NightHost):
    """A board with a second destination; its commands are in ``bin``, as the role makes them."""

    def __init__(self, directory: Path, ssd: Path, stand_in: StandIn, usb: UsbDisk) -> None:
        super().__init__(directory, ssd, stand_in)
        self.usb = usb
        self.bin = directory / "bin"
        use_disk(self, usb.path)
        self.fill()
        (self.volumes / "grafana_data").mkdir()
        (self.volumes / "grafana_data/grafana.db").write_text("dashboards\n")
        (self.compose / "home").mkdir()
        (self.compose / "home/compose.yml").write_text("services: {home: {}}\n")
        self._write_commands()

    def config(self) -> dict[str, Any]:
        config = super().config()
        config["weekly"] = {"weekday": f"{datetime.now().astimezone():%A}".lower()}
        return config

    def documented(self, line: str) -> str:
        """*line* with what is true here in place of the documents' names, dates and paths."""
        for words, here in (
            ("/opt/backup/scripts/", ""),
            ("/opt/docker-compose", str(self.compose)),
            ("/mnt/ssd/restored", str(self.ssd / "restored")),
            ("/tmp/one", str(self.directory / "one")),
            ("2026-11-20T02:00Z", f"{datetime.now().astimezone().year + 1}-01-01T02:00Z"),
            ("2026-11-15", f"{datetime.now().astimezone():%Y-%m-%d}"),
            ("[daily|weekly|TIME] [DATE]", ""),
            ("[daily|weekly|TIMESTAMP] [DATE]", ""),
            ("[FILE]", str(self.config_path)),
            ("[", ""),
            ("]", ""),
        ):
            line = line.replace(words, here)
        return line

    def type(self, line: str, code: int = 0) -> str:
        """Type the documents' *line* as root on the board; returns what it said."""
        terminal, stdin = os.openpty()
        try:
            os.write(terminal, b"y\n")
            done = subprocess.run(
                ["/bin/sh", "-c", self.documented(line)],
                check=False,
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                cwd="/",
                env={"PATH": f"{self.bin}:{SYSTEM_PATH}:/usr/sbin:/sbin"},
            )
        finally:
            os.close(terminal)
            os.close(stdin)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def lost(self, target: Path) -> str:
        """What differs between the live volumes and those restored to *target*; an earlier line
        in place has touched the time of the directory above them."""
        restored = target / f"docker-volumes{self.volumes}"
        return differences(self.volumes, restored, "--omit-dir-times")

    def forget_target(self) -> None:
        """Make room for another restore on the SSD."""
        shutil.rmtree(self.ssd / "restored", ignore_errors=True)

    @property
    def second_path(self) -> str:
        """What ``[second-encrypted]`` lies over."""
        return f"{self.usb.path}/{PREFIX}"

    def _write_commands(self) -> None:
        self.bin.mkdir()
        program = self.bin / "lepotato-backup"
        program.write_text(
            "#!/bin/sh\nPYTHON=/usr/bin/python3 exec "
            f"{shlex.quote(str(CHECKOUT / 'scripts/lepotato-backup'))} --config "
            f'{shlex.quote(str(self.config_path))} "$@"\n'
        )
        for name in ("backup-to-b2.sh", "restore-from-b2.sh"):
            text = (TEMPLATES / f"{name}.j2").read_text(encoding="utf-8")
            (self.bin / name).write_text(text.replace("{{ agent__program_path }}", str(program)))
        for path in self.bin.iterdir():
            path.chmod(0o755)
