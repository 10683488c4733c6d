# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the newest point in the bucket the one that this host sealed last?

If it is not, what this host remembers of the bucket is not true any more: somebody else wrote
there, or an old image of this host's state was put back. Then the bucket itself is compared.
"""

from __future__ import annotations

import os

from ..base.errors import BackupError
from ..base.printable import printable
from ..filesystem.atomic_write import write_atomically
from ..filesystem.board_identity import board_identity
from ..points.count import newest_of
from ..points.model import Seal, ids_of_seals
from .context import Night
from .run_record import RUNS_DIRECTORY


def look_at_last_writer(night: Night) -> None:
    """Compare the bucket's newest point with this host's last seal, ``night.before``.

    Sets ``night.distrust`` to why the note of the bucket is not believed, and ``night.before`` to
    the newest point. Raises :class:`BackupError` when another board that lives writes here too,
    unless that was accepted.
    """
    own = night.before
    newest = max(ids_of_seals(night.point_names), default="")
    if own is None or newest == own.id:
        return
    if newest < own.id:
        night.distrust = f"{own.id}, which this host sealed last, is not in the bucket any more"
        night.log.warning(
            f"{night.distrust}: the whole bucket is compared. Did somebody remove or hide it?"
        )
        return
    seal = newest_of(night.rclone, night.point_names)
    if seal is None:
        return
    if _is_another_board(seal):
        _require_accepted(night, own, seal)
    night.distrust = f"{seal.id} was sealed after {own.id}, the last that this host knows of"
    if os.path.exists(os.path.join(night.config.paths.state, RUNS_DIRECTORY, f"{seal.id}.json")):
        # This host's own run, which died between the seal and its note.
        night.log.info(f"{night.distrust}: the whole bucket is compared")
    else:
        night.log.warning(
            f"{night.distrust}: by {printable(seal.host)}"
            f"{', on another board' if _is_another_board(seal) else ''}. Was an old image of this "
            "host put back? The whole bucket is compared, once"
        )
    night.before = seal


def believe_no_note(night: Night) -> None:
    """Withdraw what this host remembers of the bucket, when there is a reason."""
    if not night.distrust:
        return
    night.bucket.changing()
    if night.before is not None:
        write_atomically(night.state.last_seal, night.before.to_json().encode("utf-8"))


def _is_another_board(seal: Seal) -> bool:
    return seal.board not in ("", board_identity())


def _require_accepted(night: Night, own: Seal, other: Seal) -> None:
    if night.options.accept_writer:
        return
    raise BackupError(
        f"another board of {printable(other.host)} sealed {other.id} under this prefix, after this "
        f"one's last night {own.id}: two boards that write to one prefix remove each other's files",
        "Give one of them another lepotato_backup_host_prefix and run site.yml. If the other one "
        "is switched off for good, run backup-to-b2.sh --accept-writer once",
    )
