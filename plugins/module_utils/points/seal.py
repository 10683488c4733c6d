# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seal: what makes an upload a restore point, and the last object that a night writes.

Before it, unfinished large uploads are cancelled: they would hide good versions from the
point-in-time reads that a restore makes.
"""

from __future__ import annotations

import math
import os

from ..b2.api import B2Client
from ..base.clock import Clock
from ..base.errors import BackupError
from ..base.journal import Journal
from ..base.state_files import StateFiles
from ..bucket.upload import UploadPlan, cancel_unfinished
from ..config.schema import Config
from ..filesystem.atomic_write import write_atomically
from ..filesystem.board_identity import board_identity
from ..filesystem.sha256 import sha256_of
from ..rclone.commands import Rclone
from .model import ManifestReference, Seal, manifest_path, rfc3339, seal_path
from .store import PointStore

# The HTTP Date header has whole seconds, so B2's clock may be up to one second further.
DATE_RESOLUTION_SECONDS = 1.0


def seal_night(
    config: Config,
    rclone: Rclone,
    client: B2Client,
    journal: Journal,
    plan: UploadPlan,
    identifier: str,
    started_epoch_seconds: float,
    clock: Clock,
    store: PointStore,
) -> Seal:
    """Send the manifest, then the seal, and look that B2 has it.

    Returns after B2's clock has passed the seal's ``version_at``, so that nothing the next run
    uploads can belong to this night.
    """
    state = StateFiles(config.paths.state)
    remote_manifest = manifest_path(identifier)
    rclone.copyto(state.manifest, rclone.crypt(remote_manifest), no_check_dest=True)
    # Its answer also tells B2's time.
    cancel_unfinished(config, client, journal)
    skew_seconds = client.clock_skew_seconds or 0.0
    version_at = math.ceil(clock.now() + skew_seconds + DATE_RESOLUTION_SECONDS)
    seal = Seal(
        id=identifier,
        host=config.host,
        started_at=rfc3339(started_epoch_seconds),
        sealed_at=rfc3339(clock.now()),
        version_at=rfc3339(version_at),
        manifest=ManifestReference(
            remote_manifest, sha256_of(state.manifest), os.path.getsize(state.manifest)
        ),
        trees=plan.trees,
        upload=plan.upload,
        board=board_identity(),
    )
    data = seal.to_json().encode("utf-8")
    remote_seal = rclone.crypt(seal_path(identifier))
    rclone.rcat(data, remote_seal)
    # B2 has compared the SHA-1 of what it got; this proves that it is found under its name.
    if not store.holds(seal_path(identifier), len(data)):
        raise BackupError(
            f"{remote_seal} is not listed as it was written",
            "Run backup-to-b2.sh again; when it happens again, check memory and disk of this host",
        )
    write_atomically(state.last_seal, data)
    clock.sleep(version_at - clock.now() - skew_seconds)
    return seal
