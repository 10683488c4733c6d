# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B2's documented rules for file names and file infos, and its encoding of both in headers."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

from .errors import bad_request

NAME_BYTES_MAX = 1024
SEGMENT_BYTES_MAX = 250
INFO_ENTRIES_MAX = 10
# What the name and the infos may take as headers of a download.
HEADER_BYTES_MAX = 7000
HEADER_BYTES_MAX_ENCRYPTED_OR_LOCKED = 2048
# Infos that come back as the HTTP header of that meaning; other names with "b2-" are reserved.
INFO_AS_HEADER = {
    "b2-cache-control": "Cache-Control",
    "b2-content-disposition": "Content-Disposition",
    "b2-content-encoding": "Content-Encoding",
    "b2-content-language": "Content-Language",
    "b2-expires": "Expires",
}
_INFO_NAME = re.compile(r"[a-z0-9._~!#$%^&*'|+`-]{1,50}\Z")
_NOT_ENCODED = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})")


def check_name(name: str) -> None:
    """400 bad_request for a name that breaks the rules for file names."""
    encoded = name.encode()
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise bad_request(f"File names must be 1 to {NAME_BYTES_MAX} bytes of UTF-8")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise bad_request("File names must not contain control characters")
    if "\\" in name:
        raise bad_request("File names must not contain a backslash")
    if name.startswith("/") or name.endswith("/") or "//" in name:
        raise bad_request('File names must not start or end with "/", or contain "//"')
    if max(len(segment) for segment in encoded.split(b"/")) > SEGMENT_BYTES_MAX:
        raise bad_request(f"File name segment too long (maximum {SEGMENT_BYTES_MAX} bytes)")


def checked_info(name: str, info: dict[str, str], header_bytes_max: int) -> dict[str, str]:
    """The file info as it is stored, its names in lower case; 400 if it breaks the rules."""
    if len(info) > INFO_ENTRIES_MAX:
        raise bad_request(f"more than {INFO_ENTRIES_MAX} file info entries")
    stored = {info_name.lower(): value for info_name, value in info.items()}
    header_bytes = len("X-Bz-File-Name" + encode(name))
    for info_name, value in stored.items():
        if not _INFO_NAME.match(info_name):
            raise bad_request(f"illegal file info name: {info_name}")
        if info_name.startswith("b2-") and info_name not in INFO_AS_HEADER:
            raise bad_request(f"unknown b2- file info: {info_name}")
        header_bytes += len("X-Bz-Info-" + info_name + encode(value))
    if header_bytes > header_bytes_max:
        raise bad_request(
            f"file name and file info take {header_bytes} bytes as headers, more than the"
            f" {header_bytes_max} allowed"
        )
    return stored


def decode(text: str) -> str:
    """B2's string encoding: percent-encoded UTF-8, where "+" may stand for a space."""
    wrong = _NOT_ENCODED.search(text)
    if wrong is not None:
        raise bad_request(f"Bad character in percent-encoded string: {ord(wrong[0][0])}")
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise bad_request("a name or value isn't percent-encoded UTF-8") from error


def encode(text: str) -> str:
    """B2's string encoding of a name or value."""
    return quote(text, safe="._-/~!$'()*;=:@")
