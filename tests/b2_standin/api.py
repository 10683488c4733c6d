# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dispatches the calls that take JSON and answer JSON."""

from __future__ import annotations

from typing import Any

from .api_accounts import AccountCalls
from .api_files import FileCalls
from .api_uploads import UploadCalls
from .calls import Call
from .errors import bad_request
from .fields import check_fields
from .service import Service


class Api:
    """All JSON calls, by name."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._account_calls = AccountCalls(service)
        self._handlers = {
            **self._account_calls.handlers,
            **UploadCalls(service).handlers,
            **FileCalls(service).handlers,
        }

    def handle(self, call: Call) -> dict[str, Any]:
        """The JSON answer of a call; raises B2Error."""
        if call.name == "b2_authorize_account":
            check_fields(call.name, call.api_version, call.params.names())
            return self._account_calls.authorize_account(call)
        handler = self._handlers.get(call.name)
        if handler is None:
            raise bad_request(f"invalid API call: {call.name}")
        token = self._service.accounts.check_token(call.authorization, "account")
        check_fields(call.name, call.api_version, call.params.names())
        return handler(call, token.key)
