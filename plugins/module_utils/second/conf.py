# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second destination in rclone.conf: whether it answers, and the token that rclone renews."""

from __future__ import annotations

import json
from typing import List, Optional

from ..base.errors import BackupError
from ..config.schema import Rclone as RcloneConfig
from ..config.schema import Second
from ..process.runner import Runner
from ..rclone.conf import Sections, parse_sections
from ..rclone.move_to_history import AsideRclone
from .disk import require_disk

# Somebody waits for the answer, and a server that is off gives none.
TIMEOUT_SECONDS = 30.0

_TOKEN = "token"  # the name of an option


def settled_content(before: str, content: str, path: str) -> str:
    """What the file at *path*, which holds *before*, is to hold when *content* is wanted.

    With an OAuth remote rclone writes each new token into the file, and many a service takes the
    old one no more: of two tokens the one that expires later stays. Raises
    :class:`..base.errors.ConfigError` when *content* is no rclone.conf.
    """
    wanted = parse_sections(content, path)
    given = wanted.get(Second.raw_remote, {}).get(_TOKEN, "")
    if not given or not before:
        return content
    try:
        present = parse_sections(before, path)
    except BackupError:
        return content
    kept = present.get(Second.raw_remote, {}).get(_TOKEN, "")
    if _expiry(kept) <= _expiry(given):
        return content
    if _with_token(wanted, kept) == present:
        # rclone also lays the file out in its own way.
        return before
    return content.replace(f"{_TOKEN} = {given}", f"{_TOKEN} = {kept}")


def second_warnings(
    content: str, path: str, prefix: str, binary: Optional[str], conf: str, runner: Runner
) -> List[str]:
    """What is wrong with the second destination in *content*, which lies in the file *conf*; it
    may come to be there later, so that none of it is an error.

    *binary* is rclone, None where there is none yet; *prefix* is the host's.
    """
    crypt = parse_sections(content, path).get(Second.crypt_remote)
    if crypt is None:
        return []
    below = crypt.get("remote", "")
    try:
        if below.startswith("/"):
            # Whether it is the SSD is looked at by each night, which knows where that is.
            require_disk(below[: -len(f"/{prefix}")], "/")
        elif binary is not None:
            settings = RcloneConfig(
                binary=binary,
                config=conf,
                raw_remote=Second.raw_remote,
                crypt_remote=Second.crypt_remote,
            )
            AsideRclone(settings, runner).check_names(timeout_seconds=TIMEOUT_SECONDS)
    except BackupError as error:
        return [f"The second destination can't be used now, and nights will warn: {error}"]
    return []


def _with_token(sections: Sections, token: str) -> Sections:
    return {**sections, Second.raw_remote: {**sections[Second.raw_remote], _TOKEN: token}}


def _expiry(token: str) -> str:
    """When the token ends, as text that sorts by time; "" when it does not say."""
    try:
        # "2026-11-22T12:00:00.123456789+01:00": of one service, always in one time zone.
        expiry = json.loads(token)["expiry"]
        return expiry if isinstance(expiry, str) else ""
    except (ValueError, KeyError, TypeError):
        return ""
