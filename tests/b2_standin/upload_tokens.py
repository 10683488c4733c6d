# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upload URL and its token are for one upload at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import B2Error


class UploadTokens:
    """The tokens whose uploads are running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: set[str] = set()

    @contextmanager
    def used(self, token: str) -> Iterator[None]:
        """Use a token for one upload; 400 auth_token_limit if it is in use already."""
        with self._lock:
            if token in self._used:
                raise B2Error(
                    400, "auth_token_limit", f"more than one upload using auth token {token}"
                )
            self._used.add(token)
        try:
            yield
        finally:
            with self._lock:
                self._used.discard(token)
