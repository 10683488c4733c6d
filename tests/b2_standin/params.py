# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed access to the parameters of an API call (a JSON body, or a query string)."""

from __future__ import annotations

from typing import Any

from .errors import bad_request


class Params:
    """The parameters of one call; a missing or mistyped one raises B2's 400 bad_request."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def names(self) -> list[str]:
        """The names of all parameters that were sent."""
        return list(self._values)

    def has(self, name: str) -> bool:
        """Whether the parameter is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        """A required string."""
        value = self.optional_text(name)
        if value is None:
            raise bad_request(f"required field {name} is missing")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise bad_request(f"field {name} must be a string")
        return value

    def number(self, name: str) -> int:
        """A required integer."""
        value = self.optional_number(name)
        if value is None:
            raise bad_request(f"required field {name} is missing")
        return value

    def optional_number(self, name: str) -> int | None:
        """An integer (a decimal string too, as a query string carries it), or None."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_request(f"field {name} must be an integer")
        return value

    def optional_flag(self, name: str) -> bool | None:
        """A boolean, or None."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise bad_request(f"field {name} must be a boolean")
        return value

    def optional_list(self, name: str) -> list[Any] | None:
        """A list, or None."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, list):
            raise bad_request(f"field {name} must be a list")
        return value

    def text_list(self, name: str) -> list[str]:
        """A required list of strings."""
        value = self.optional_list(name)
        if value is None or not all(isinstance(item, str) for item in value):
            raise bad_request(f"required field {name} must be a list of strings")
        return value

    def optional_object(self, name: str) -> dict[str, Any] | None:
        """A JSON object, or None."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise bad_request(f"field {name} must be an object")
        return value

    def optional_text_map(self, name: str) -> dict[str, str] | None:
        """A JSON object with string values, or None."""
        value = self.optional_object(name)
        if value is not None and not all(isinstance(item, str) for item in value.values()):
            raise bad_request(f"field {name} must have string values")
        return value
