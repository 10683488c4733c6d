# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every restore does around its download: how long, unfinished uploads, progress."""

from __future__ import annotations

import contextlib
import sys
from typing import Iterator

from ..b2.errors import B2Denied
from ..base.errors import LockHeld
from ..base.journal import Journal
from ..base.progress import ProgressBar, human_bytes
from ..bucket.upload import cancel_unfinished
from ..manifest.apply import ApplyProgress
from ..process.run_lock import RunLock
from ..rclone.conf import read_remote
from ..restore.directory import Watchers
from ..restore.selection import Selected
from .origin import Asked
from .preparation import prepared_state

# The board's Ethernet (DESIGN, "For whom"): no restore to it is faster than this.
LINK_BYTES_PER_SECOND = 100e6 / 8
# rclone makes about 100 calls a second to B2 (DESIGN, "What we measured"), one a small file.
FILES_PER_SECOND = 100.0
# Another restore holds the lock only while it cancels unfinished uploads: a few calls to B2.
LOCK_WAIT_SECONDS = 15.0


def expected_seconds(selected: Selected) -> float:
    """How long a download takes at best: the link's rate, or the calls that small files cost."""
    return max(
        selected.download_bytes / LINK_BYTES_PER_SECOND,
        selected.download_files / FILES_PER_SECOND,
    )


@contextlib.contextmanager
def bars(selected: Selected) -> Iterator[Watchers]:
    """Progress for a person: the download, then the check of what came."""
    download = ProgressBar(sys.stderr, "restore", selected.download_bytes)
    check = ProgressBar(sys.stderr, "check")

    def checked(progress: ApplyProgress) -> None:
        check.draw(progress.verified_bytes, selected.bytes, human_bytes(progress.verified_bytes))

    try:
        yield Watchers(download.transfer, checked)
    finally:
        download.end()


def settle_unfinished(asked: Asked, journal: Journal, has_lock: bool = False) -> None:
    """Cancel unfinished large uploads: each hides the good version of its file.

    Only the host that uploads may do that, and only while no night is under way there; anywhere
    else they are named. The second destination has none.
    """
    if asked.is_second:
        return
    config = asked.config
    client = read_remote(
        config.rclone.config, config.rclone.raw_remote, config.rclone.crypt_remote
    ).client()
    if not asked.is_board:
        pending = list(client.list_unfinished_large_files(config.bucket, f"{config.host_prefix}/"))
        if pending:
            journal.warning(
                f"{len(pending)} uploads are unfinished; when files are missing below, run "
                "restore-from-b2.sh on the board, or a night there, and try again"
            )
        return
    try:
        with contextlib.ExitStack() as stack:
            if not has_lock:
                stack.enter_context(RunLock(prepared_state(config).lock, LOCK_WAIT_SECONDS))
            cancel_unfinished(config, client, journal)
    except LockHeld as error:
        journal.warning(f"unfinished uploads are left alone: {error.message}")
    except B2Denied as error:
        # A key for restores only (listFiles, readFiles) may list them but not cancel them.
        journal.warning(f"unfinished uploads can't be cancelled with this key: {error.message}")
