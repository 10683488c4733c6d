# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python3 -m tools.lab create|strike KIND [--arch ARCH] | destroy KIND"""

from __future__ import annotations

import argparse
import sys

from ..host import architecture
from ..shell import ToolError
from .disaster import strike
from .lab import create, destroy
from .names import LabNames


def main() -> int:
    """Make, ruin or remove a lab; 1 with the reason on standard error when that fails."""
    parser = argparse.ArgumentParser(prog="tools.lab", description=__doc__)
    parser.add_argument("action", choices=["create", "strike", "destroy"])
    parser.add_argument("kind")
    parser.add_argument("--arch", choices=["arm64", "native"], default="arm64")
    arguments = parser.parse_args()
    names = LabNames(arguments.kind)
    try:
        arch = architecture() if arguments.arch == "native" else arguments.arch
        if arguments.action == "create":
            create(names, arch, _say)
        elif arguments.action == "strike":
            strike(names, arch, _say)
        else:
            destroy(names)
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
