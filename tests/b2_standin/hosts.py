# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B2's hosts: one logs in, and names others for calls, for downloads and for each upload.

Here they are one server, told apart by the first segment of the path, so that a client that asks
at the wrong one fails as it would with B2.
"""

from __future__ import annotations

from .errors import bad_request

REALM = ""  # what a client is configured with; for b2_authorize_account
API = "api000"
DOWNLOAD = "f000"
UPLOAD = "pod-000"
S3 = "s3"
_UPLOADS = ("b2_upload_file", "b2_upload_part")
_DOWNLOADS = ("b2_download_file_by_id", "b2_download_file_by_name")


def split(path: str) -> tuple[str, str]:
    """The host that a path stands for, and the rest of the path."""
    first, _slash, rest = path[1:].partition("/")
    if first in (API, DOWNLOAD, UPLOAD):
        return first, f"/{rest}"
    return REALM, path


def check(host: str, call: str) -> None:
    """400 unless the host takes that call."""
    right: tuple[str, ...]
    if call in _UPLOADS:
        right = (UPLOAD,)
    elif call in _DOWNLOADS:
        # b2sdk looks at a file by its name at the host of the calls, so that serves it too.
        right = (DOWNLOAD, API)
    else:
        right = (API, REALM) if call == "b2_authorize_account" else (API,)
    if host not in right:
        raise bad_request(f"{call} is not for this host: use the URL that B2 gave for it")
