# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a host's remote works before anything is trusted to it: key, bucket, passwords.

B2 is asked directly first: rclone says of most of what can be wrong with a key only "401", and
of a wrong password nothing at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ..b2.api import Authorization, B2Client
from ..base.errors import BackupError
from .commands import Rclone
from .conf import RemoteConf
from .log import RcloneError, RcloneUndecryptable

NEEDED_CAPABILITIES = ("listFiles", "readFiles", "writeFiles")
# Whoever takes over the host could destroy the backups with any of these.
DANGEROUS_CAPABILITIES = (
    "deleteFiles",
    "writeBuckets",
    "deleteBuckets",
    "writeKeys",
    "deleteKeys",
    "bypassGovernance",
)
MAKE_KEY = (
    "Make a key for the bucket '{bucket}' and the prefix '{folder}' with listFiles, readFiles and "
    "writeFiles, and set lepotato_backup_b2_key_id and lepotato_backup_b2_key to it"
)

# A night ends hours after its proof, and a mail about it must be read.
EXPIRY_WARNING_SECONDS = 14 * 24 * 3600
# TLS and version times are fine with minutes, but 02:00 would not be 02:00.
CLOCK_SKEW_WARNING_SECONDS = 120.0

RCLONE_TIMEOUT_SECONDS = 180.0
# Somebody waits for the answer: an endpoint that nobody listens on is told after 3 s.
ATTEMPTS = 3


@dataclass(frozen=True)
class AuthProof:
    """What a successful proof found. *empty*: nothing lies below the prefix yet, so that the
    passwords could not be proven. *clock_skew_seconds*: B2's clock minus this host's.
    """

    bucket: str
    prefix: str
    capabilities: Tuple[str, ...]
    warnings: Tuple[str, ...]
    empty: bool
    passwords_proven: bool
    clock_skew_seconds: Optional[float]
    seconds: float


def prove_auth(
    remote: RemoteConf, rclone: Optional[Rclone], client: Optional[B2Client] = None
) -> AuthProof:
    """Prove the key, the bucket, the prefix and, when something is there, the passwords.

    *rclone* must be configured with the file that *remote* was read from; without it the
    passwords stay unproven. Raises a :class:`BackupError` that names the variable to mend.
    Costs two B2 calls, and a few more of rclone when the prefix is not empty.
    """
    started = time.monotonic()
    client = client or remote.client(attempts=ATTEMPTS)
    allowed = client.authorize()
    client.bucket_id(remote.bucket)
    _require_rights(remote, allowed)
    names = client.list_file_names(remote.bucket, remote.folder, count_max=1)
    empty = next(names, None) is None
    if rclone is not None and not empty:
        _require_decryptable(remote, rclone)
    return AuthProof(
        bucket=remote.bucket,
        prefix=remote.prefix,
        capabilities=allowed.capabilities,
        warnings=tuple(_warnings(remote, allowed)),
        empty=empty,
        passwords_proven=rclone is not None and not empty,
        clock_skew_seconds=allowed.clock_skew_seconds,
        seconds=round(time.monotonic() - started, 3),
    )


def failure_facts(error: BaseException) -> Dict[str, Any]:
    """What a module adds to its message: command, rc and stderr when rclone was what failed."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, RcloneError) and cause.result is not None:
            result = cause.result
            lines = [f"{finding.name}: {finding.message}" for finding in result.errors]
            return {
                "command": list(result.argv),
                "rc": result.exit_code,
                "stderr": "\n".join(line.removeprefix(": ") for line in lines),
            }
        cause = cause.__cause__
    return {}


def _require_rights(remote: RemoteConf, allowed: Authorization) -> None:
    hint = MAKE_KEY.format(bucket=remote.bucket, folder=remote.folder)
    missing = [name for name in NEEDED_CAPABILITIES if name not in allowed.capabilities]
    if missing:
        raise BackupError(f"The B2 key lepotato_backup_b2_key_id lacks {', '.join(missing)}", hint)
    if not remote.folder.startswith(allowed.name_prefix):
        raise BackupError(
            f"The B2 key lepotato_backup_b2_key_id is restricted to the prefix"
            f" '{allowed.name_prefix}', but this host's backups lie below '{remote.folder}'",
            "Correct lepotato_backup_host_prefix, or: " + hint,
        )
    if allowed.buckets is None and "writeBuckets" not in allowed.capabilities:
        # rclone would try to create the bucket at the first upload, which B2 refuses.
        raise BackupError(
            "The B2 key lepotato_backup_b2_key_id is not restricted to a bucket, and rclone can't "
            "upload with such a key unless it may also create buckets",
            hint,
        )


def _require_decryptable(remote: RemoteConf, rclone: Rclone) -> None:
    try:
        found = rclone.check_names(timeout_seconds=RCLONE_TIMEOUT_SECONDS)
    except RcloneUndecryptable as error:
        raise _wrong_passwords(remote) from error
    if not found:
        # rclone 1.60 has no strict names: it leaves out what it can't decrypt.
        raise _wrong_passwords(remote)


def _wrong_passwords(remote: RemoteConf) -> BackupError:
    return BackupError(
        f"There are backups in '{remote.bucket}/{remote.folder}', but lepotato_backup_password and "
        "lepotato_backup_password2 do not decrypt their names",
        "Set both to what these backups were made with (they can't be changed afterwards), or "
        "start anew below another lepotato_backup_host_prefix",
    )


def _warnings(remote: RemoteConf, allowed: Authorization) -> List[str]:
    warnings: List[str] = []
    hint = MAKE_KEY.format(bucket=remote.bucket, folder=remote.folder)
    dangerous = [name for name in DANGEROUS_CAPABILITIES if name in allowed.capabilities]
    if dangerous:
        warnings.append(
            f"The B2 key may {', '.join(dangerous)}: whoever takes over this host can destroy its "
            f"backups. {hint}, and nothing else"
        )
    if allowed.buckets is None:
        warnings.append(f"The B2 key is good for every bucket of the account. {hint}")
    if allowed.expires_at is not None:
        left_seconds = allowed.expires_at - time.time() - (allowed.clock_skew_seconds or 0.0)
        if left_seconds < EXPIRY_WARNING_SECONDS:
            days = max(0, int(left_seconds // 86400))
            warnings.append(f"The B2 key expires in {days} days. {hint}")
    skew = allowed.clock_skew_seconds
    if skew is not None and abs(skew) > CLOCK_SKEW_WARNING_SECONDS:
        direction = "behind" if skew > 0 else "ahead of"
        warnings.append(
            f"This host's clock is {abs(skew):.0f} s {direction} B2's: check its time service"
        )
    return warnings
