# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All parts of the stand-in, put together over one data directory."""

from __future__ import annotations

from pathlib import Path

from .accounts import Accounts
from .bodies import Bodies
from .buckets import Buckets
from .clock import Clock
from .copying import Copier
from .damage import Damager
from .database import Database
from .faults import Faults
from .large_files import LargeFiles
from .lifecycle import Lifecycle
from .shaping import Link, Shaper
from .stats import Stats
from .upload_tokens import UploadTokens
from .versions import Versions


class Service:
    """The state of a stand-in; everything but faults, link and statistics is on disk."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.database = Database(data / "metadata.sqlite")
        self.clock = Clock(self.database)
        self.accounts = Accounts(self.database, self.clock)
        self.buckets = Buckets(self.database)
        self.bodies = Bodies(data / "bodies", self.database)
        self.versions = Versions(self.database, self.bodies, self.clock)
        self.large_files = LargeFiles(self.database, self.bodies, self.versions)
        self.copier = Copier(self.buckets, self.versions, self.large_files, self.bodies, self.clock)
        self.lifecycle = Lifecycle(self.database, self.clock, self.buckets, self.versions)
        self.damager = Damager(self.versions, self.bodies)
        self.faults = Faults()
        self.shaper = Shaper()
        self.stats = Stats()
        self.upload_tokens = UploadTokens()
        self.generation = 0  # how often all was wiped

    def wipe(self) -> None:
        """Be as new: no buckets, files, keys, faults; real time; the master key stays.

        Connections made before are closed at their next request, which is not counted.
        """
        self.generation += 1
        with self.database.transaction():
            master = self.accounts.master()
            self.database.empty()
            self.accounts.store(master)
        self.bodies.remove_orphans()
        self.clock.advance_ms(-self.clock.offset_ms)
        self.faults.clear()
        self.shaper.set(Link())
        self.stats.reset()
