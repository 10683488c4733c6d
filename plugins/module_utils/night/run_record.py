# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run records: one JSON file a run, for ``status``, for monitoring and for the person who asks.

``STATE/runs/ID.json`` is begun when the run begins and written whole when it ends;
``STATE/last_run.json`` is a copy of the newest that ended. A run that was killed leaves a record
that is only begun: whoever holds the lock next closes it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

from ..base.errors import EXIT_FAILED, EXIT_OK, EXIT_WARNINGS, BackupError, Interrupted
from ..filesystem.atomic_write import write_json_atomically
from ..points.model import epoch_of_point, point_id, rfc3339

RUNS_DIRECTORY = "runs"
LAST_RUN_NAME = "last_run.json"

OUTCOME_RUNNING = "running"
OUTCOME_INTERRUPTED = "interrupted"
KILLED = "the run was killed: out of memory, a power cut or kill -9"

# A year of nights and a month of re-runs; a record is a few KiB.
RECORDS_KEPT = 400


@dataclass
class RunRecord:
    """What a run did; filled in as it goes on and finished by :meth:`finish`."""

    host: str
    started_epoch_seconds: float
    dry_run: bool = False
    id: str = ""
    outcome: str = OUTCOME_RUNNING
    exit_code: int = EXIT_FAILED
    step: str = ""
    error: str = ""
    warnings: List[str] = field(default_factory=list)
    seconds: Dict[str, float] = field(default_factory=dict)
    details: Dict[str, Any] = field(default_factory=dict)
    point: Optional[str] = None
    ended_epoch_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.id = self.id or point_id(self.started_epoch_seconds)

    def finish(self, error: Optional[BaseException], warnings: List[str], step: str) -> None:
        """Set outcome and exit code from what happened."""
        self.ended_epoch_seconds = time.time()
        self.warnings = list(warnings)
        self.step = step
        if error is not None:
            self.outcome = OUTCOME_INTERRUPTED if isinstance(error, Interrupted) else "failed"
            is_told = isinstance(error, (BackupError, Interrupted, OSError))
            self.error = str(error) if is_told else repr(error)
            self.exit_code = getattr(error, "exit_code", EXIT_FAILED)
        elif warnings:
            self.outcome, self.exit_code = "warnings", EXIT_WARNINGS
        else:
            self.outcome, self.exit_code = "ok", EXIT_OK

    def to_json(self) -> Dict[str, Any]:
        """The record as it is stored; durations in seconds, times in RFC 3339 UTC."""
        return {
            "id": self.id,
            "host": self.host,
            "started_at": rfc3339(self.started_epoch_seconds),
            "ended_at": rfc3339(self.ended_epoch_seconds),
            "duration_seconds": round(self.ended_epoch_seconds - self.started_epoch_seconds, 1),
            "dry_run": self.dry_run,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "step": self.step,
            "error": self.error,
            "warnings": self.warnings,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "point": self.point,
            **self.details,
        }


class Stopwatch:
    """Measure a named part of the run into the record, also when the part fails."""

    def __init__(
        self, record: RunRecord, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._record, self._name, self._clock = record, name, clock
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(self, *_unused: object) -> None:
        spent = self._clock() - self._started
        self._record.seconds[self._name] = self._record.seconds.get(self._name, 0.0) + spent


def begin_record(state_directory: str, record: RunRecord) -> None:
    """Note that the run began, for :func:`close_killed_records`."""
    os.makedirs(os.path.join(state_directory, RUNS_DIRECTORY), mode=0o700, exist_ok=True)
    write_json_atomically(_record_path(state_directory, record.id), record.to_json())


def store_record(state_directory: str, record: RunRecord) -> str:
    """Write the record and drop the oldest beyond :data:`RECORDS_KEPT`; returns its path."""
    directory = os.path.join(state_directory, RUNS_DIRECTORY)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = _record_path(state_directory, record.id)
    _store(state_directory, record.id, record.to_json())
    for name in _record_names(directory)[:-RECORDS_KEPT]:
        os.unlink(os.path.join(directory, name))
    return path


def close_killed_records(state_directory: str) -> List[str]:
    """Close the newest record when its run never ended; returns the run's ID in a list.

    Only for the holder of the run lock: to others a run that is under way looks the same. The
    end that is noted is now.
    """
    directory = os.path.join(state_directory, RUNS_DIRECTORY)
    for name in _record_names(directory)[-1:]:
        try:
            with open(os.path.join(directory, name), encoding="utf-8") as stream:
                value: Dict[str, Any] = json.load(stream)
            is_killed = value["outcome"] == OUTCOME_RUNNING
            identifier: str = value["id"]
            began_epoch_seconds = epoch_of_point(identifier)
        except (ValueError, KeyError, TypeError):
            # Torn by a failing disk. It is history only: nothing depends on it.
            continue
        if is_killed:
            now = time.time()
            value.update(
                outcome=OUTCOME_INTERRUPTED,
                error=KILLED,
                ended_at=rfc3339(now),
                duration_seconds=round(now - began_epoch_seconds, 1),
            )
            _store(state_directory, identifier, value)
            return [identifier]
    return []


def _store(state_directory: str, identifier: str, value: Dict[str, Any]) -> None:
    write_json_atomically(_record_path(state_directory, identifier), value)
    write_json_atomically(os.path.join(state_directory, LAST_RUN_NAME), value)


def _record_path(state_directory: str, identifier: str) -> str:
    return os.path.join(state_directory, RUNS_DIRECTORY, f"{identifier}.json")


def _record_names(directory: str) -> List[str]:
    if not os.path.isdir(directory):
        return []
    return sorted(name for name in os.listdir(directory) if name.endswith(".json"))


def read_last_record(state_directory: str) -> Dict[str, Any]:
    """What ``last_run.json`` tells; raises :class:`BackupError` when there is none or it is
    damaged."""
    path = os.path.join(state_directory, LAST_RUN_NAME)
    try:
        with open(path, encoding="utf-8") as stream:
            record: Dict[str, Any] = json.load(stream)
        if not record["ended_at"]:
            raise ValueError("no run ended")
        return record
    except FileNotFoundError:
        raise BackupError(
            "no run has ended on this host yet", "Run backup-to-b2.sh, or wait for the night"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(
            f"{path} is not a run record: {error}",
            "The next run writes it anew; earlier records are in runs beside it, and the log tells "
            "the same",
        ) from error
