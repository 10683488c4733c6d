# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container labels that steer the capture: ``lepotato.backup.*``.

=========================== ==========================================================
``lepotato.backup.stop``    ``true``: stop it though no source is mounted; ``false``: leave it
                            alone; ``never``: keep it running, its dump is what counts
``...group``                name of its capture group
``...priority``             whole number; lower stops first where dependencies leave a choice
``...stop-timeout``         seconds before the engine kills it
``...dump``                 ``postgres``, ``postgres:DATABASE``, ``mysql``, ``mysql:DATABASE``,
                            ``sqlite:/path/in/container`` or ``command:SHELL COMMAND``
=========================== ==========================================================
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Callable, Dict, Mapping, Optional, TypeVar

from ..base.errors import ConfigError
from ..config.schema import Dump

PREFIX = "lepotato.backup."
STOP_VALUES = ("true", "false", "never")

T = TypeVar("T")


@dataclass(frozen=True)
class Labels:
    """What a container's labels ask for; None where a label is missing."""

    stop: Optional[str] = None
    group: Optional[str] = None
    priority: Optional[int] = None
    stop_timeout_seconds: Optional[int] = None
    dump: Optional[Dump] = None


def read_labels(container: str, labels: Mapping[str, str]) -> Labels:
    """Read the ``lepotato.backup.`` labels of *container*.

    Raises :class:`ConfigError` naming the container and the label for an unknown label or a bad
    value.
    """
    ours: Dict[str, str] = {}
    for label, value in labels.items():
        if label.startswith(PREFIX.rstrip(".")):
            if label not in _KNOWN:
                raise _problem(container, label, f"is not known{_guess(label)}")
            ours[label] = value.strip()

    def get(name: str, convert: Callable[[str], T]) -> Optional[T]:
        label = PREFIX + name
        if label not in ours:
            return None
        try:
            return convert(ours[label])
        except ValueError as error:
            raise _problem(container, label, f"{error}, not {ours[label]!r}") from error

    return Labels(
        stop=get("stop", _stop),
        group=get("group", _group),
        priority=get("priority", _priority),
        stop_timeout_seconds=get("stop-timeout", _seconds),
        dump=get("dump", lambda value: _dump(container, value)),
    )


_KNOWN = tuple(PREFIX + name for name in ("stop", "group", "priority", "dump", "stop-timeout"))


def _problem(container: str, label: str, what: str) -> ConfigError:
    return ConfigError(
        f"container {container}: label {label} {what}",
        "Change the label in its compose file and create the container anew",
    )


def _guess(label: str) -> str:
    close = difflib.get_close_matches(label, _KNOWN, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(_KNOWN)}"


def _stop(value: str) -> str:
    if value.lower() not in STOP_VALUES:
        raise ValueError(f"must be one of {', '.join(STOP_VALUES)}")
    return value.lower()


def _group(value: str) -> str:
    if not value:
        raise ValueError("must be a name")
    return value


def _priority(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _seconds(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError("must be a whole number of seconds, 1 or more")
    return int(value)


def _dump(container: str, value: str) -> Dump:
    kind, _colon, rest = value.partition(":")
    if kind in ("postgres", "mysql"):
        return Dump(container=container, kind=kind, database=rest)
    if kind == "sqlite" and rest.startswith("/"):
        return Dump(container=container, kind=kind, path=rest)
    if kind == "command" and rest.strip():
        return Dump(container=container, kind=kind, command=("/bin/sh", "-c", rest))
    raise ValueError(
        "must be postgres[:DATABASE], mysql[:DATABASE], sqlite:/PATH or command:SHELL COMMAND"
    )
