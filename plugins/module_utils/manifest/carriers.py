# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carriers: which files can't travel under their own names, and how their content does instead.

Measured with rclone 1.75.2, ``filename_encryption = standard``, ``filename_encoding = base64``:

* A name over 175 bytes fails: crypt pads to 16 bytes and base64 makes 235 bytes of 176, but 256
  of 192, and B2 allows 250 bytes between two slashes (and 1024 in all).
* A name with a control character, DEL, a control picture (U+2400 and on) or U+201B (the quote of
  rclone's encoding) is *silently not sent* when it comes in ``--files-from-raw``, with exit 0;
  U+201B fails in a plain sync too. Two such names can also mean the same name to rclone.
* Names equal after Unicode normalization are one name to rclone's sync.
* Invalid UTF-8, backslashes, leading or trailing spaces and trailing dots came through alone.
  They are kept out all the same: other tools between here and a worst day change them.
* The fullwidth forms came through, so those that no encoding on the way uses travel as they are.

A file with such a part anywhere in its path is *odd*. Its content travels as a hard link under
``.carrier/<SHA-256 of the path>`` beside the trees and apply moves it back. Directories, links,
pipes and devices have no content: they live in the manifest alone, whatever their names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import unicodedata
from typing import NamedTuple

from ..base.name_set import NameSet
from .file import read_entries
from .model import CARRIER_DIRECTORY, AnyPath

# The largest name that crypt keeps within B2's 250 bytes: 175 bytes become 235.
NAME_BYTES_MAX = 175
# B2: "file names ... 1024 bytes". What is above the trees takes its share: the host's prefix,
# "daily" or "weekly/backup-DATE", encrypted part by part.
ENCRYPTED_PATH_BYTES_MAX = 1024 - 200

_CRYPT_BLOCK_BYTES = 16

# Control characters, DEL, backslash; leading or trailing space, trailing dot of any part; and
# the suffix that "rclone --links" takes for a symlink.
_ODD_ASCII = re.compile(rb"[\x00-\x1f\x7f\\]|(?:\A|/) |[ .](?:/|\Z)|\.rclonelink\Z")
# C1 controls; quote, pictures of controls, fullwidth full stop, solidus and reverse solidus, the
# forms that rclone's encodings of the local file system, of crypt and of B2 use; the replacement
# character, which invalid bytes turn into.
_ODD_CHARACTERS = "\u0080-\u009f\u201b\u2400-\u2426\uff0e\uff0f\uff3c\ufffd"
_ODD_UNICODE = re.compile(f"[{_ODD_CHARACTERS}]")

_TEMPORARY_SUFFIX = b".new"


class CarrierResult(NamedTuple):
    """How many carriers there are, and how many were made or removed just now."""

    carriers: int
    created: int
    removed: int


def encrypted_name_bytes(name_bytes: int) -> int:
    """Length of a name of *name_bytes* bytes after crypt's padding, EME and raw URL base64."""
    padded = (name_bytes // _CRYPT_BLOCK_BYTES + 1) * _CRYPT_BLOCK_BYTES
    return (padded * 4 + 2) // 3


def is_odd(path: bytes) -> bool:
    """Whether a file at *path* (relative to the described root) can't travel under its name."""
    if _ODD_ASCII.search(path):
        return True
    if len(path) > NAME_BYTES_MAX and _is_too_long(path):
        return True
    return not path.isascii() and _is_odd_unicode(path)


def _is_too_long(path: bytes) -> bool:
    lengths = [len(name) for name in path.split(b"/")]
    encrypted_bytes = sum(encrypted_name_bytes(length) + 1 for length in lengths) - 1
    return max(lengths) > NAME_BYTES_MAX or encrypted_bytes > ENCRYPTED_PATH_BYTES_MAX


def _is_odd_unicode(path: bytes) -> bool:
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return True
    # Of several names that are equal after normalization at most one is normal: the others
    # are odd, and no two names that travel can be confused.
    return bool(_ODD_UNICODE.search(text)) or not unicodedata.is_normalized("NFC", text)


def carrier_name(path: bytes) -> str:
    """The name in the carrier directory for a file at *path*; "" when *path* is not odd."""
    return hashlib.sha256(path).hexdigest() if is_odd(path) else ""


def plan_carriers(root: AnyPath, manifest: AnyPath) -> CarrierResult:
    """Bring ``root/.carrier`` to what *manifest*, just written for *root*, needs.

    Run it inside :func:`.hard_links.link_window`: linking moves ctimes. Where a file can't
    be linked (too many links) it is copied. Can be repeated; raises :class:`OSError`.
    """
    base = os.fsencode(root)
    directory = os.path.join(base, CARRIER_DIRECTORY)
    created = carriers = 0
    with NameSet() as wanted:
        for entry in read_entries(manifest):
            if not entry.carrier or entry.link is not None:
                continue
            if not carriers:
                os.makedirs(directory, mode=0o700, exist_ok=True)
            carriers += 1
            name = entry.carrier.encode("ascii")
            wanted.add(name)
            created += _link_carrier(os.path.join(base, entry.path), os.path.join(directory, name))
        removed = _remove_unwanted(directory, wanted)
    if not carriers and os.path.isdir(directory):
        os.rmdir(directory)
    return CarrierResult(carriers, created, removed)


def _link_carrier(source: bytes, carrier: bytes) -> bool:
    """Make *carrier* a name of the file *source*; returns whether it was not one already."""
    wanted = os.lstat(source)
    try:
        present = os.lstat(carrier)
    except FileNotFoundError:
        pass
    else:
        if os.path.samestat(wanted, present) or _is_fresh_copy(wanted, present):
            return False
    temporary = carrier + _TEMPORARY_SUFFIX
    if os.path.lexists(temporary):
        os.unlink(temporary)
    try:
        os.link(source, temporary, follow_symlinks=False)
    except OSError:
        # No more links on this inode or none on this file system: a copy costs its bytes.
        shutil.copy2(source, temporary, follow_symlinks=False)
    os.rename(temporary, carrier)
    return True


def _is_fresh_copy(wanted: os.stat_result, present: os.stat_result) -> bool:
    """A carrier that is a copy has one name; it is fresh by the rule that rsync uses too."""
    return (present.st_nlink, present.st_size, present.st_mtime_ns) == (
        1,
        wanted.st_size,
        wanted.st_mtime_ns,
    )


def _remove_unwanted(directory: bytes, wanted: NameSet) -> int:
    if not os.path.isdir(directory):
        return 0
    removed = 0
    with os.scandir(directory) as found:
        for item in found:
            if item.name not in wanted:
                os.unlink(item.path)
                removed += 1
    return removed
