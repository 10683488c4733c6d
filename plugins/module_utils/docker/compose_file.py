# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services depend on which, read from a compose file.

Only for docker-compose 1.x, which records no dependencies in labels. The standard library reads
no YAML, so this reads the plain block style that compose files are written in, and says that it
doesn't know wherever a file uses more than that (anchors, merges, flow mappings): guessing would
separate what belongs together.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

Dependencies = Dict[str, Tuple[str, ...]]

_COMMENT = re.compile(r"(^|\s)#.*$")
_KEY = re.compile(r"""(?P<quote>["']?)(?P<name>[\w.-]+)(?P=quote)\s*:(?:\s+(?P<value>.*))?$""")
_ITEM = re.compile(r"""-\s+(?P<quote>["']?)(?P<name>[\w.-]+)(?::[\w.-]+)?(?P=quote)$""")
_FLOW_LIST = re.compile(r"\[(?P<items>[^\[\]{}]*)\]$")

# What a service brings in from elsewhere; a merge (<<) is no key that is read here at all.
_ELSEWHERE = ("extends",)
_NAMING_KEYS = ("depends_on", "links")


class _Line(NamedTuple):
    indent: int
    text: str


class _TooMuch(Exception):
    """The file uses YAML that this doesn't read."""


def read_dependencies(working_directory: str, config_files: str) -> Optional[Dependencies]:
    """What each service of a compose project depends on; None when it can't be known.

    The arguments are the values of compose's labels: *config_files* has commas between paths, which
    are relative to *working_directory*. A service without dependencies is missing.
    """
    merged: Dict[str, Set[str]] = {}
    try:
        for name in config_files.split(","):
            path = os.path.join(working_directory, name)
            with open(path, encoding="utf-8") as stream:
                for service, needs in parse_dependencies(stream.read()):
                    merged.setdefault(service, set()).update(needs)
    except (OSError, UnicodeDecodeError, _TooMuch):
        return None
    return {service: tuple(sorted(needs)) for service, needs in merged.items()}


def parse_dependencies(text: str) -> Iterator[Tuple[str, Sequence[str]]]:
    """Yield each service of a compose file that names others, with their names."""
    lines = list(_lines(text))
    for name, value, body in _entries(lines):
        if name != "services":
            continue
        if value:
            raise _TooMuch
        for service, service_value, service_body in _entries(body):
            if service_value:
                raise _TooMuch
            needs: List[str] = []
            for key, key_value, key_body in _entries(service_body):
                if key in _ELSEWHERE:
                    raise _TooMuch
                if key in _NAMING_KEYS:
                    needs += _names(key_value, key_body)
            if needs:
                yield service, needs


def _lines(text: str) -> Iterator[_Line]:
    for raw in text.splitlines():
        line = _COMMENT.sub("", raw).rstrip()
        bare = line.lstrip(" ")
        if bare.startswith("\t") or bare == "---":
            raise _TooMuch
        if bare:
            yield _Line(len(line) - len(bare), bare)


def _entries(lines: Sequence[_Line]) -> Iterator[Tuple[str, str, Sequence[_Line]]]:
    """The keys at the outermost level with what follows the colon and the lines below them."""
    number = 0
    while number < len(lines):
        indent = lines[0].indent
        match = _KEY.match(lines[number].text)
        if match is None or lines[number].indent != indent:
            raise _TooMuch
        end = number + 1
        while end < len(lines) and (
            lines[end].indent > indent
            # Items of a list may stand as far left as its key.
            or (lines[end].indent == indent and lines[end].text.startswith("- "))
        ):
            end += 1
        yield match["name"], match["value"] or "", lines[number + 1 : end]
        number = end


def _names(value: str, body: Sequence[_Line]) -> List[str]:
    flow = _FLOW_LIST.match(value)
    if flow is not None and not body:
        return [
            item.strip().strip("\"'").split(":")[0] for item in flow["items"].split(",") if item
        ]
    if value or not body:
        raise _TooMuch
    if not body[0].text.startswith("-"):
        return [name for name, _value, _body in _entries(body)]
    found = [_ITEM.match(line.text) for line in body]
    names = [match["name"] for match in found if match is not None]
    if len(names) < len(body):
        raise _TooMuch
    return names
