# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weekly snapshots on the SSD: ``STAGING/weekly/backup-DATE``, made of hard links.

A snapshot costs its directory entries and no bytes, until the staged files change. It is made
beside its name and renamed, so that an interruption leaves no half of one. What rsync changes of
a file without its content (owner, mode, times) it changes in all names of the file: the manifest
of the night lies beside the snapshot and remembers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import List

from ..base.errors import CommandError
from ..base.state_files import StateFiles
from ..config.schema import Config
from ..filesystem.atomic_write import sync_directory
from ..manifest.hard_links import link_window
from ..manifest.model import CARRIER_DIRECTORY
from ..process.runner import Runner
from .weekly import is_weekly_name

MANIFEST_SUFFIX = ".manifest.jsonl.gz"
_UNFINISHED_PREFIX = ".unfinished-"


class LocalWeeklies:
    """The snapshots below ``STAGING/weekly``."""

    def __init__(self, config: Config, runner: Runner) -> None:
        self.directory = os.path.join(config.paths.staging, "weekly")
        self._daily = config.paths.daily
        self._state = StateFiles(config.paths.state)
        self._runner = runner

    def names(self) -> List[str]:
        """The finished snapshots, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self.directory) if is_weekly_name(name))
        return []

    def make(self, name: str) -> None:
        """Make the snapshot *name* of the staged trees and their manifest.

        Raises :class:`..base.errors.CommandError` or :class:`OSError`; no snapshot is there then.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with link_window(self._state.link_windows):
            self._remove_unfinished()
            unfinished = os.path.join(self.directory, _UNFINISHED_PREFIX + name)
            os.mkdir(unfinished, 0o700)
            # The carriers are further names of files that are in the trees.
            trees = [
                os.path.join(self._daily, tree)
                for tree in sorted(os.listdir(self._daily))
                if os.fsencode(tree) != CARRIER_DIRECTORY
            ]
            try:
                self._runner.run(["cp", "-al", "--", *trees, unfinished])
                shutil.copy2(self._state.manifest, self._manifest(name))
            except (CommandError, OSError):
                # An SSD that ran full gets back what the attempt took.
                self._remove_unfinished()
                raise
            os.rename(unfinished, os.path.join(self.directory, name))
            sync_directory(self.directory)

    def remove(self, name: str) -> None:
        """Remove the snapshot *name*; what is left of an interrupted removal is no snapshot."""
        with link_window(self._state.link_windows):
            unfinished = os.path.join(self.directory, _UNFINISHED_PREFIX + name)
            os.rename(os.path.join(self.directory, name), unfinished)
            self._remove_unfinished()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._manifest(name))

    def _manifest(self, name: str) -> str:
        return os.path.join(self.directory, name + MANIFEST_SUFFIX)

    def _remove_unfinished(self) -> None:
        for name in os.listdir(self.directory):
            if name.startswith(_UNFINISHED_PREFIX):
                shutil.rmtree(os.path.join(self.directory, name))
