# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every benchmark in ``bench/``, one after the other so that none disturbs another.

    python3 -m tools.bench [WORD...]

With words, only those whose names contain one of them. Exit code 1 when one failed or missed the
bound it prints.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from . import setup
from .paths import CHECKOUT
from .shell import ToolError

PYTHON = CHECKOUT / ".venv/bin/python"


def main(words: Sequence[str]) -> int:
    """Make the machine ready and run the benchmarks."""
    scripts = [
        path
        for path in sorted((CHECKOUT / "bench").glob("*.py"))
        if not words or any(word in path.stem for word in words)
    ]
    if not scripts:
        sys.stderr.write(f"no benchmark is called anything like {' '.join(words)}\n")
        return 2
    try:
        problems = setup.prepare(["docker"], lambda text: print(text, flush=True))
    except ToolError as error:
        sys.stderr.write(f"set-up failed: {error}\n")
        return 1
    if problems.get("docker"):
        print(f"no Docker: {problems['docker']}")
    failed = []
    for script in scripts:
        print(f"\n== {script.stem}", flush=True)
        if subprocess.run([PYTHON, script], cwd=CHECKOUT, check=False).returncode:
            failed.append(script.stem)
    print(f"\n{len(scripts) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
