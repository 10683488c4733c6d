# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What run and recover do about an interrupted run: close its record, tell what came back."""

from __future__ import annotations

from ..config.schema import Config
from ..docker.stop_start import RecoverResult
from ..night.run_record import close_killed_records
from ..process.logs import RunLog


def tell_recovered(result: RecoverResult, log: RunLog) -> None:
    """Tell which containers run again, and which could not be started."""
    for name in result.started:
        log.info(f"started {name}, which an interrupted run had left stopped")
    for name in result.failed:
        log.error(f"{name} could not be started; the next run tries again")


def close_killed(config: Config, log: RunLog) -> None:
    """End the records of runs that were killed before they could."""
    try:
        for identifier in close_killed_records(config.paths.state):
            log.info(f"run {identifier} was killed before it ended")
    except OSError as error:
        # Containers are what counts: a full disk must not end a recovery with a failure.
        log.warning(f"the record of a killed run can't be closed: {error}")
