# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rclone said: its JSON log line by line, as numbers, findings and one clear error.

rclone's exit code is 1 for nearly everything, so the log decides what kind of failure it was.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type

from ..base.errors import BackupError
from ..base.progress import TransferStats

# Findings kept word by word: a night that fails on every file must not fill the memory.
FINDINGS_KEPT = 100

# Said of every such name and not true here (with our --local-encoding names pass as bytes), or
# as it must be (the manifest carries what is neither file nor directory).
_NOISE = ("Replacing invalid UTF-8 characters", "Can't transfer non file/directory")

# rclone says this between its attempts; each attempt repeats what still fails.
_ATTEMPT = re.compile(r"Attempt \d+/\d+ (failed|succeeded)")

# https://rclone.org/docs/#exit-code
EXIT_MEANINGS = {
    0: "success",
    1: "an error",
    2: "a wrong command line",
    3: "directory not found",
    4: "file not found",
    5: "a temporary error that outlived the retries",
    6: "an error that needs no retry",
    7: "a fatal error",
    8: "the transfer limit was reached",
    9: "nothing was transferred",
    10: "the time limit was reached",
    # The shell's, which starts it.
    126: "it can't be run",
    127: "it is not there",
}


class RcloneError(BackupError):
    """rclone failed; *result* holds what it said."""

    def __init__(self, message: str, hint: str = "", result: Optional[RcloneResult] = None) -> None:
        super().__init__(message, hint)
        self.result = result


class RcloneUnauthorized(RcloneError):
    """B2 refuses the key: wrong, revoked, or without a needed capability."""


class RcloneCapExceeded(RcloneError):
    """B2's storage, transaction or download cap is reached (403)."""


class RcloneNoSpace(RcloneError):
    """The local file system is full."""


class RcloneNotFound(RcloneError):
    """The directory or file is not there."""


class RcloneUndecryptable(RcloneError):
    """Names can't be decrypted with the configured passwords."""


class RcloneDamaged(RcloneError):
    """An object whose name decrypts holds something else than was written.

    One password pair encrypts names and contents, so that a name which decrypts proves it.
    """


class RcloneNetwork(RcloneError):
    """B2 can't be reached, or the connection keeps breaking."""


class RcloneStalled(RcloneError):
    """rclone made no progress for too long and was killed."""


@dataclass(frozen=True)
class Finding:
    """An error rclone logged, and the object it is about ("" for the whole run)."""

    name: str
    message: str


@dataclass(frozen=True)
class RcloneResult:
    """How an rclone command ended. *errors* holds at most ``FINDINGS_KEPT`` findings, each
    once although rclone retries; *error_count* is rclone's own count. *planned* counts what a
    dry run would do by kind ("copy", "delete", ...), *planned_names* are the first of them.
    """

    argv: Tuple[str, ...]
    exit_code: int
    stats: TransferStats
    errors: Tuple[Finding, ...]
    error_count: int
    planned: Mapping[str, int] = field(default_factory=dict)
    planned_names: Tuple[Tuple[str, str], ...] = ()
    stdout: str = ""


def parse_stats(raw: Mapping[str, Any]) -> TransferStats:
    """Turn rclone's stats object into a :class:`TransferStats`; missing numbers are 0."""

    def number(name: str) -> int:
        return int(raw.get(name) or 0)

    eta = raw.get("eta")
    return TransferStats(
        bytes=number("bytes"),
        total_bytes=number("totalBytes"),
        transfers=number("transfers"),
        total_transfers=number("totalTransfers"),
        checks=number("checks"),
        total_checks=number("totalChecks"),
        deletes=number("deletes"),
        listed=number("listed"),
        errors=number("errors"),
        server_side_copies=number("serverSideCopies"),
        server_side_copy_bytes=number("serverSideCopyBytes"),
        elapsed_seconds=float(raw.get("elapsedTime") or 0.0),
        speed=float(raw.get("speed") or 0.0),
        eta_seconds=None if eta is None else float(eta),
        fatal=bool(raw.get("fatalError")),
    )


class LogReader:
    """Reads rclone's JSON log line by line.

    *on_stats* is called with each stats object, *on_message* with the level and one readable
    line for everything else. Lines that are not JSON (rclone's usage errors) count as errors.
    """

    def __init__(
        self,
        on_stats: Optional[Callable[[TransferStats], None]] = None,
        on_message: Optional[Callable[[str, str], None]] = None,
    ) -> None:
        self.on_stats = on_stats
        self.on_message = on_message
        self.stats = TransferStats()
        self.findings: Dict[Finding, None] = {}
        self.planned: Dict[str, int] = {}
        self.planned_names: List[Tuple[str, str]] = []
        self.last_message = ""
        self._attempt_ended = False

    def feed(self, line: str) -> None:
        """Take one line of stderr."""
        if not line.strip():
            return
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self._find("error", "", line.strip())
            return
        message = str(entry.get("msg", "")).strip()
        name = str(entry.get("object", ""))
        level = str(entry.get("level", ""))
        if isinstance(entry.get("stats"), dict):
            self.stats = parse_stats(entry["stats"])
            if self.on_stats is not None:
                self.on_stats(self.stats)
        elif "skipped" in entry:
            self._plan(str(entry["skipped"]), name)
        elif level in ("error", "critical") or message.startswith("Failed to "):
            self._find(level, name, message)
        elif self.on_message is not None and not message.startswith(_NOISE):
            self.on_message(level, _readable(name, message))

    def result(self, argv: Tuple[str, ...], exit_code: int, stdout: str = "") -> RcloneResult:
        """Everything heard so far, with the command's ending."""
        return RcloneResult(
            argv=argv,
            exit_code=exit_code,
            stats=self.stats,
            errors=tuple(self.findings),
            error_count=max(self.stats.errors, len(self.findings) if exit_code else 0),
            planned=dict(self.planned),
            planned_names=tuple(self.planned_names),
            stdout=stdout,
        )

    def _find(self, level: str, name: str, message: str) -> None:
        attempt = _ATTEMPT.match(message)
        if attempt is None:
            self._keep(name, message)
        elif attempt.group(1) == "succeeded":
            self.findings.clear()
        else:
            self._attempt_ended = True
        if self.on_message is not None:
            self.on_message(level, _readable(name, message))

    def _keep(self, name: str, message: str) -> None:
        # The last line of a failed run sums up; what it sums up is worth more.
        summary = message.startswith("Failed to ") and not name
        if summary and self.findings:
            return
        if self._attempt_ended and not summary:
            self.findings.clear()
            self._attempt_ended = False
        self.last_message = message
        finding = Finding(name, message)
        if len(self.findings) < FINDINGS_KEPT:
            self.findings[finding] = None

    def _plan(self, kind: str, name: str) -> None:
        self.planned[kind] = self.planned.get(kind, 0) + 1
        if len(self.planned_names) < FINDINGS_KEPT:
            self.planned_names.append((kind, name))


def error_from(result: RcloneResult, what: str) -> RcloneError:
    """The error that tells a person what went wrong.

    *what* says in words what rclone was doing ("the upload of ..."). The order of the rules
    matters: a refused key also breaks connections, a wrong password also "is not found".
    """
    if result.exit_code in (126, 127):
        hint = "Run site.yml, which installs rclone, or correct agent_rclone_binary"
        return _build(RcloneError, result, what, hint)
    text = "\n".join(finding.message for finding in result.errors)
    lowered = text.lower()
    for kind, words, hint in _RULES:
        if any(word in lowered for word in words):
            return _build(kind, result, what, hint)
    if result.exit_code in (3, 4):
        return _build(RcloneNotFound, result, what, "")
    return _build(RcloneError, result, what, "The log has every line that rclone wrote")


def _build(kind: Type[RcloneError], result: RcloneResult, what: str, hint: str) -> RcloneError:
    meaning = EXIT_MEANINGS.get(result.exit_code, "killed by a signal")
    named = [finding for finding in result.errors if finding.name]
    shown = named or list(result.errors)
    details = "; ".join(_readable(finding.name, finding.message) for finding in shown[:3])
    more = len(shown) - 3
    if more > 0:
        details += f"; and {more} more"
    ending = f"{what} failed: rclone exit code {result.exit_code} ({meaning})"
    return kind(f"{ending}: {details}" if details else ending, hint, result)


def _readable(name: str, message: str) -> str:
    return f"{name}: {message}" if name else message


_RULES: Tuple[Tuple[Type[RcloneError], Tuple[str, ...], str], ...] = (
    (
        RcloneCapExceeded,
        ("cap_exceeded", "cap exceeded"),
        "Raise the cap in the account's 'Caps & Alerts', or wait until it is reset at midnight UTC",
    ),
    (
        RcloneUnauthorized,
        ("(401 ", "bad_auth_token", "unauthorized", "(403 access_denied", "you must use bucket"),
        (
            "Check lepotato_backup_b2_key_id, lepotato_backup_b2_key and what the key may do "
            "(listFiles, readFiles, writeFiles on the bucket and prefix), then run site.yml again"
        ),
    ),
    (
        RcloneNoSpace,
        ("no space left on device", "disk quota exceeded", "too big for remaining disk space"),
        "Make room on the file system that is written to and run it again",
    ),
    (
        RcloneUndecryptable,
        ("undecryptable", "not a multiple of blocksize", "bad pkcs#7 padding"),
        "lepotato_backup_password and lepotato_backup_password2 must be those of the backup",
    ),
    (
        RcloneDamaged,
        (
            # crypt says "- bad password?" behind it, and that is the least likely cause.
            "failed to authenticate decrypted block",
            "failed to decrypt",
            "truncated block header",
            "not an encrypted file",
            "too short to be encrypted",
            "corrupted on transfer",
        ),
        "The object is damaged where it is stored: the passwords are right, for its name decrypts",
    ),
    (
        RcloneNetwork,
        (
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "i/o timeout",
            "tls handshake",
            "unexpected eof",
            "(503 ",
            "(500 ",
            "(429 ",
            "x509:",
        ),
        "Check the Internet connection, name servers, clock and lepotato_backup_b2_endpoint",
    ),
)
