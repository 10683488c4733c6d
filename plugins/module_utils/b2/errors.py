# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What B2 can answer instead of what was asked, as errors that name what to mend."""

from __future__ import annotations

import ssl
from typing import Any, Mapping, Optional

from ..base.errors import BackupError


class B2Error(BackupError):
    """B2 refused or failed; *status* and *code* are its own (0 and "" when it never answered)."""

    is_retryable = False
    retry_after_seconds: Optional[float] = None

    def __init__(self, message: str, hint: str = "", status: int = 0, code: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code


class B2BadKey(B2Error):
    """The key ID and key are not (or no longer) a pair that B2 knows."""

    def __init__(self, key_id: str, status: int, code: str) -> None:
        super().__init__(
            f"B2 does not accept the application key '{key_id}': it is wrong, expired or revoked",
            "Check lepotato_backup_b2_key_id and lepotato_backup_b2_key in "
            "group_vars/potato/vault.yml: both are shown once, when the key is made",
            status,
            code,
        )


class B2Denied(B2Error):
    """The key is good but not for this call (401 or 403)."""


class B2CapExceeded(B2Error):
    """The account's storage, transaction or download cap is reached."""


class B2WrongBucket(B2Error):
    """There is no such bucket for this key."""

    def __init__(self, bucket: str, why: str) -> None:
        super().__init__(
            f"The bucket '{bucket}' can't be used: {why}",
            "Correct lepotato_backup_bucket, or make the bucket, or take a key that is made for it "
            "(lepotato_backup_b2_key_id, lepotato_backup_b2_key)",
        )


class B2Unreachable(B2Error):
    """B2 could not be asked at all."""

    def __init__(self, host: str, reason: object) -> None:
        is_certificate = isinstance(reason, ssl.SSLCertVerificationError)
        super().__init__(
            f"B2 can't be reached at {host}: {reason}",
            "Check the clock and what stands between this host and B2: its certificate is not valid"
            if is_certificate
            else "Check the network, name servers and proxy, and lepotato_backup_b2_endpoint "
            "(empty for Backblaze)",
        )
        self.is_retryable = not is_certificate


def error_of_answer(
    name: str,
    status: int,
    answer: Optional[Mapping[str, Any]],
    is_retryable: bool,
    retry_after_seconds: Optional[float],
) -> B2Error:
    """The error for an answer with an HTTP status of 300 or more to the call *name*."""
    code = str((answer or {}).get("code", ""))
    said = str((answer or {}).get("message", "")) or code or "no reason given"
    text = f"B2 refused {name} with {status}: {said}"
    error: B2Error
    if "cap_exceeded" in code:
        error = B2CapExceeded(
            text,
            "Raise the account's cap in 'Caps & Alerts', or wait until midnight UTC",
            status,
            code,
        )
    elif status in (401, 403):
        error = B2Denied(
            text,
            "Make a key with listFiles, readFiles and writeFiles for the bucket and the prefix "
            "(lepotato_backup_b2_key_id, lepotato_backup_b2_key)",
            status,
            code,
        )
    elif is_retryable:
        error = B2Error(text, "B2 is busy or in trouble: try again later", status, code)
    else:
        error = B2Error(
            text, "Check lepotato_backup_b2_endpoint and lepotato_backup_bucket", status, code
        )
    error.is_retryable = is_retryable
    error.retry_after_seconds = retry_after_seconds
    return error
