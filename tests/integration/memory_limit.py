# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit on the memory of processes, kept by the kernel: a control group, version 1 or 2."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryLimit:
    """A control group with a limit; put processes into it with :meth:`add`."""

    directory: Path
    kill_counter: str

    def add(self, pid: int) -> None:
        """Count what the process allocates from now on."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """How many processes the kernel has killed for being over the limit."""
        lines = (self.directory / self.kill_counter).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[MemoryLimit]:
    """A limit without swap; skips the test where control groups can't be made."""
    if os.geteuid() != 0:
        pytest.skip("control groups need root")
    name = f"lpb-memory-{uuid.uuid4().hex[:8]}"
    if (ROOT / "cgroup.controllers").exists():
        if "memory" not in (ROOT / "cgroup.subtree_control").read_text().split():
            pytest.skip("the memory controller is not given to control groups")
        limit = MemoryLimit(ROOT / name, "memory.events")
        values = {"memory.max": limit_bytes, "memory.swap.max": 0}
    else:
        if not (ROOT / "memory").is_dir():
            pytest.skip("no memory controller is mounted")
        limit = MemoryLimit(ROOT / "memory" / name, "memory.oom_control")
        # In this order: memory and swap together can't be less than memory.
        values = {"memory.limit_in_bytes": limit_bytes, "memory.memsw.limit_in_bytes": limit_bytes}
    try:
        limit.directory.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        for file, value in values.items():
            # Files for swap are missing where the kernel does not count it.
            if (limit.directory / file).exists():
                (limit.directory / file).write_text(str(value))
        yield limit
    finally:
        limit.directory.rmdir()
