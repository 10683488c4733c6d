# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""molecule test: the roles on an emulated ARM64 board, and a restore onto a blank one.

What runs is the collection as a user installs it, from its tarball, and not this checkout.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from ..lab.inventory import secret_values
from ..lab.lab import destroy
from ..lab.names import LabNames
from ..paths import CHECKOUT
from ..shell import ToolError
from .ansible_test import build, install
from .stage import Log, Stage, last_line

# What a restore does has nothing to do with the architecture, and emulated it takes minutes.
NATIVE = ("restore",)


def stages() -> list[Stage]:
    """Return one stage for each scenario with a board to emulate."""
    return _stages("arm64")


def native_stages() -> list[Stage]:
    """Return one stage for each scenario whose board is of the machine's own architecture."""
    return _stages("native")


def _stages(needs: str) -> list[Stage]:
    scenarios = sorted(path.parent.name for path in CHECKOUT.glob("molecule/*/molecule.yml"))
    return [
        Stage(f"molecule: {name}", partial(_test, scenario=name), needs=needs)
        for name in scenarios
        if needs == ("native" if name in NATIVE else "arm64")
    ]


def _test(log: Log, scenario: str) -> str:
    """Run the scenario; its log must show no secret of the lab, not even in check mode."""
    names = LabNames(scenario)
    try:
        # What molecule remembers of a lab that was destroyed here would keep it from making one.
        log.call("molecule", "reset", "-s", scenario)
        with tempfile.TemporaryDirectory(prefix="lpb-molecule-") as scratch:
            collections = Path(scratch) / "collections"
            install(log, build(Path(scratch)), collections)
            # destroy comes after the secrets were read, so it is not molecule's here.
            log.call(
                *("molecule", "test", "--destroy", "never", "-s", scenario),
                env={"ANSIBLE_COLLECTIONS_PATH": str(collections)},
                timeout_seconds=2400,
            )
        output = log.path.read_text(errors="replace")
        _assert_no_secret(output, secret_values(names))
        if "changed=" not in output:
            raise ToolError(f"Ansible ran nothing, log in {log.path}")
    finally:
        destroy(names)
    return last_line(output, " passed")


def _assert_no_secret(output: str, secrets: list[str]) -> None:
    shown = [line for line in output.splitlines() if any(secret in line for secret in secrets)]
    if shown:
        # The line itself would show it once more.
        raise ToolError(f"{len(shown)} lines of Ansible's output show a secret")
