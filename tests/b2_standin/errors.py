# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B2's error answers: JSON ``{"status", "code", "message"}`` with the documented codes."""

from __future__ import annotations

from typing import Any


class B2Error(Exception):
    """An error answer of the API: HTTP status, B2's code, a message for people."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return {"status": self.status, "code": self.code, "message": self.message}


def bad_request(message: str) -> B2Error:
    """400: the request has wrong fields or illegal values."""
    return B2Error(400, "bad_request", message)


def unauthorized(message: str = "not entitled") -> B2Error:
    """401: the key lacks the capability, or is restricted to another bucket or prefix."""
    return B2Error(401, "unauthorized", message)


def bad_auth_token(message: str = "Invalid authorization token") -> B2Error:
    """401: the token was never issued, or its key has been deleted since."""
    return B2Error(401, "bad_auth_token", message)


def expired_auth_token(message: str = "Authorization token has expired") -> B2Error:
    """401: the token is older than its validity; authorizing again mends it."""
    return B2Error(401, "expired_auth_token", message)


def bad_bucket_id(bucket_id: str) -> B2Error:
    """400: no such bucket."""
    return B2Error(400, "bad_bucket_id", f"bucket {bucket_id} does not exist")


def not_found(message: str) -> B2Error:
    """404: a file asked for by name or ID isn't there."""
    return B2Error(404, "not_found", message)


def file_not_present(message: str) -> B2Error:
    """400: b2_delete_file_version of a version that isn't there."""
    return B2Error(400, "file_not_present", message)


def range_not_satisfiable() -> B2Error:
    """416: the Range lies outside the file."""
    return B2Error(416, "range_not_satisfiable", "The Range in the request is outside the file")
