# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage of the night is to the list in :mod:`.run`."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import ClassVar, Iterator

from ..config.schema import Config
from .context import Night
from .run_record import Stopwatch


class Stage(ABC):
    """A part of the night that is announced, timed and told under one *name*.

    The name is the step in the log, which tests end the night at, and the key of the time in the
    run record. *timed_with* is another key, for stages that records have always timed together:
    who compares the nights of a year finds the same keys in all of them.

    A failure is a :class:`..base.errors.BackupError` or an :class:`OSError`. It ends the night, or
    becomes a :meth:`warning` where *ends_night* is False; a signal ends it in every stage.
    """

    name: ClassVar[str]
    timed_with: ClassVar[str] = ""
    ends_night: ClassVar[bool] = True

    def is_enabled(self, _config: Config) -> bool:
        """Whether this host has such a stage at all; otherwise no record tells of it."""
        return True

    def is_due(self, _night: Night) -> bool:
        """Whether there is something to do tonight, as far as the stages before it went."""
        return True

    @abstractmethod
    def run(self, night: Night) -> None:
        """Do it; raises what went wrong."""

    @abstractmethod
    def dry_run(self, night: Night) -> None:
        """Tell the log what :meth:`run` would do; it is asked for whether or not it is due."""

    def warning(self, _night: Night, error: Exception) -> str:
        """What a failure is told as; a stage before the seal has words of its own."""
        return f"the night is sealed, but {self.name} failed: {error}"

    @property
    def time_key(self) -> str:
        """The key of its time in the run record."""
        return self.timed_with or self.name

    @contextlib.contextmanager
    def under_way(self, night: Night) -> Iterator[None]:
        """Announce the stage and time it, also when it fails."""
        with Stopwatch(night.record, self.time_key):
            night.log.step(self.name)
            yield
