# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an execution environment gets what the modules' documentation asks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

DEFINITION = "meta/execution-environment.yml"
# "b2sdk 2.0 or later on the host that runs the module"
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ([0-9][0-9.]*) or later\b")


def problems(root: Path) -> list[str]:
    """Return what is wrong with the execution environment of the collection in *root*."""
    files = yaml.safe_load((root / DEFINITION).read_text())["dependencies"]
    found = [
        f"{DEFINITION} names {name}, which is not there"
        for name in files.values()
        if not (root / name).is_file()
    ]
    if found:
        return found
    given = _lines(root / files["python"])
    wanted: set[str] = set()
    for module in sorted((root / "plugins/modules").glob("*.py")):
        for text in _documentation(module).get("requirements", []):
            stated = REQUIREMENT.match(text)
            if stated is None:
                found.append(
                    f'{module.name}: the requirement "{text}" is not "NAME VERSION or later ..."'
                )
            else:
                wanted.add(f"{stated[1]}>={stated[2]}")
    name = files["python"]
    found += [f"{name} lacks {line}, which a module requires" for line in sorted(wanted - given)]
    found += [f"{name} has {line}, which no module requires" for line in sorted(given - wanted)]
    return found


def _lines(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def _documentation(module: Path) -> dict[str, Any]:
    """Return the module's DOCUMENTATION, without importing what it needs."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            loaded: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return loaded
    return {}
