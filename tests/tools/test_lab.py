# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls a restored tree equal, and what a lab leaves to be found again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from tools.lab import night, standin
from tools.lab.names import LabNames
from tools.shell import run


class Names:
    """A lab's names below a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.ssd = root
        self.folder = root / "lab"
        self.folder.mkdir()


@pytest.fixture
def names(tmp_path: Path) -> LabNames:
    return cast(LabNames, Names(tmp_path))


@pytest.fixture
def restored(names: LabNames, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A restored tree equal to the staged one; commands run here and not on a board."""
    monkeypatch.setattr(night, "in_potato", lambda _names, *argv: run(argv).stdout.strip())
    staged = names.ssd / "backup-staging/daily/docker-volumes/app"
    (staged / "empty").mkdir(parents=True)
    for name in ("data", "other"):
        (staged / name).write_text("content\n")
    (staged / "link").symlink_to("data")
    (staged / "hard").hardlink_to(staged / "data")
    run(["cp", "-a", str(names.ssd / "backup-staging/daily"), str(names.ssd / "restored")])
    return names.ssd / "restored"


def test_an_equal_tree_has_no_difference(names: LabNames, restored: Path) -> None:
    assert night.differences(names, restored) == []


@pytest.mark.parametrize("what", ["content", "mode", "time", "missing", "extra", "empty", "hard"])
def test_each_difference_is_found(names: LabNames, restored: Path, what: str) -> None:
    app = restored / "docker-volumes/app"
    before = (app / "data").stat()
    if what == "content":  # of the same size and time
        (app / "data").write_text("CONTENT\n")
        os.utime(app / "data", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "mode":
        (app / "other").chmod(0o600)
    elif what == "time":
        os.utime(app / "other", (1, 1))
    elif what == "missing":
        (app / "link").unlink()
    elif what == "extra":
        (app / "more").write_text("")
    elif what == "empty":
        (app / "empty").rmdir()
    else:
        (app / "hard").unlink()
        shutil.copy2(app / "data", app / "hard")
    assert night.differences(names, restored) != []


def test_a_stand_in_that_was_interrupted_while_it_started_is_found_again(
    names: LabNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.lab.standin.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        standin.start_standin(names, "bucket", "prefix")
    monkeypatch.undo()
    pid = int((names.folder / "standin.pid").read_text())
    assert standin._runs(pid)
    standin.stop_standin(names)
    assert not standin._runs(pid)
