# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds frozen dataclasses from decoded JSON; what is wrong names its key and what was expected.

A field's type is what is accepted. Its metadata narrows that: ``minimum``, ``maximum``,
``minimum_length``, ``choices``, ``pattern`` with ``expected`` in words, and ``absolute`` for paths.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import Any, Dict, Mapping, Type, TypeVar, get_type_hints

T = TypeVar("T")

_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


class KeyProblem(Exception):
    """A key and what is wrong with its value."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(key, what)
        self.key = key
        self.what = what


def build(cls: Type[T], raw: object, key: str = "") -> T:
    """The dataclass *cls* from the decoded JSON *raw*, which is the value of *key*.

    Raises :class:`KeyProblem`.
    """
    if not isinstance(raw, dict):
        raise KeyProblem(key, f"must be an object, not {_kind(raw)}")
    hints = get_type_hints(cls)
    fields = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]  # a dataclass
    for name in raw:
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise KeyProblem(_join(key, str(name)), f"is not known here; known are {known}")
    values: Dict[str, Any] = {}
    for name, item in fields.items():
        here = _join(key, name)
        if name in raw:
            values[name] = _value(hints[name], raw[name], here)
            _check_range(values[name], item.metadata, here)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise KeyProblem(here, "is missing")
    return cls(**values)


def _value(hint: Any, raw: object, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, raw, key)  # type: ignore[arg-type]  # hint is a class here
    origin = getattr(hint, "__origin__", None)
    if origin is tuple:
        if not isinstance(raw, list):
            raise KeyProblem(key, f"must be a list, not {_kind(raw)}")
        return tuple(_value(hint.__args__[0], item, f"{key}[{i}]") for i, item in enumerate(raw))
    if origin is not None:
        if not isinstance(raw, dict):
            raise KeyProblem(key, f"must be an object, not {_kind(raw)}")
        return {
            name: _value(hint.__args__[1], item, _join(key, name)) for name, item in raw.items()
        }
    if hint is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        # JSON has no infinity, but Python reads one.
        if not math.isfinite(raw):
            raise KeyProblem(key, f"must be a number, not {raw}")
        return float(raw)
    # bool is an int to Python, not to a person who wrote true for a number.
    if not isinstance(raw, hint) or (hint is int and isinstance(raw, bool)):
        raise KeyProblem(key, f"must be {_NAMES[hint]}, not {_kind(raw)}")
    return raw


def _check_range(value: Any, rules: Mapping[str, Any], key: str) -> None:
    if "minimum" in rules and value < rules["minimum"]:
        raise KeyProblem(key, f"must be at least {rules['minimum']}, not {value}")
    if "maximum" in rules and value > rules["maximum"]:
        raise KeyProblem(key, f"must be at most {rules['maximum']}, not {value}")
    if "minimum_length" in rules and len(value) < rules["minimum_length"]:
        raise KeyProblem(key, "must not be empty")
    if "choices" in rules and value not in rules["choices"]:
        raise KeyProblem(key, f"must be one of {', '.join(rules['choices'])}, not {value!r}")
    if "pattern" in rules and not rules["pattern"].fullmatch(value):
        raise KeyProblem(key, f"must be {rules['expected']}, not {value!r}")
    if rules.get("absolute"):
        is_list = isinstance(value, tuple)
        for path in value if is_list else (value,):
            if not os.path.isabs(path) or os.path.normpath(path) != path or path == "/":
                kind = "hold absolute paths" if is_list else "be an absolute path"
                raise KeyProblem(key, f"must {kind} without '..' below '/', not {path!r}")


def _kind(raw: object) -> str:
    names = {**_NAMES, dict: "an object", list: "a list", type(None): "null", float: "a fraction"}
    return f"{names.get(type(raw), type(raw).__name__)} ({json.dumps(raw)[:60]})"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
