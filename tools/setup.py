# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a machine ready for the demo and the tests; the second time it only looks.

    python3 -m tools.setup [lint] [docker] [arm64] [native] [importer] [oldest] [docs]

Without a word it does all of them. What a word needs is made first.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from .compose_plugin import ensure_compose
from .host import BASE_PACKAGES, Say, architecture, ensure_docker, ensure_emulation, ensure_packages
from .images import ensure_image, potato, services
from .paths import cache_dir
from .rclone_binaries import ensure_binaries
from .shell import ToolError
from .venvs import (
    DEVELOPMENT,
    DOCUMENTATION,
    IMPORTER,
    OLDEST_ANSIBLE,
    ensure_venv,
    link_development_venv,
)

PARTS = ("lint", "importer", "oldest", "docs", "docker", "arm64", "native")
# Python environments beside the one that everything needs
VENVS = {"importer": IMPORTER, "oldest": OLDEST_ANSIBLE, "docs": DOCUMENTATION}


def prepare(parts: Sequence[str], say: Say) -> dict[str, str]:
    """Make each of *parts* ready; return part -> why it can't be had ("" when it can).

    lint is the ground of all others: without it there is nothing to go on with.

    Raises:
        ToolError: lint can't be had.
    """
    problems = dict.fromkeys(parts, "")
    with _one_at_a_time(say):
        ensure_packages(BASE_PACKAGES, say)
        # Docker's packages come through the same apt, so the venvs alone run beside it.
        with ThreadPoolExecutor() as pool:
            python = pool.submit(_python, parts, say)
            if any(part in parts for part in ("docker", "arm64", "native")):
                problems.update(_containers(parts, say))
            python.result()
    return problems


def main(argv: Sequence[str]) -> int:
    """Prepare the parts that *argv* names, or all; 1 when one can't be had."""
    unknown = [word for word in argv if word not in PARTS]
    if unknown:
        sys.stderr.write(f"{unknown[0]}: not one of {', '.join(PARTS)}\n")
        return 2
    began = time.monotonic()
    try:
        problems = prepare(argv or PARTS, lambda text: print(f"set-up: {text}", flush=True))
    except ToolError as error:
        sys.stderr.write(f"set-up failed: {error}\n")
        return 1
    for part, problem in problems.items():
        if problem:
            print(f"set-up: no {part}: {problem}")
    print(f"set-up: done in {time.monotonic() - began:.1f} s")
    return 1 if any(problems.values()) else 0


def _python(parts: Sequence[str], say: Say) -> None:
    ensure_venv(DEVELOPMENT, say)
    link_development_venv()
    ensure_binaries(say)
    for part in parts:
        if part in VENVS:
            ensure_venv(VENVS[part], say)


def _containers(parts: Sequence[str], say: Say) -> dict[str, str]:
    docker_problem = _problem(lambda: ensure_docker(say))
    if docker_problem:
        wanted = [part for part in ("docker", "arm64", "native") if part in parts]
        return dict.fromkeys(wanted, docker_problem)
    problems: dict[str, str] = {}
    jobs: dict[str, Callable[[], object]] = {}
    # The siblings' image is everybody's; the boards' are their own.
    jobs["docker"] = lambda: ensure_image(services(), say)
    jobs["docker compose"] = lambda: ensure_compose(say)
    if "arm64" in parts:
        problems["arm64"] = _problem(lambda: ensure_emulation(say))
        if not problems["arm64"]:
            jobs["arm64"] = lambda: ensure_image(potato("arm64"), say)
    if "native" in parts:
        jobs["native"] = lambda: ensure_image(potato(architecture()), say)
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(_problem, job) for name, job in jobs.items()}
        # Waited for in here: Ctrl-C at the end of the block would leave the threads behind.
        problems.update({name: done.result() for name, done in running.items()})
    if problem := problems.pop("docker compose"):
        say(f"the tests with compose v2 will be skipped: {problem}")
    for part in ("arm64", "native"):
        if part in problems:
            problems[part] = problems[part] or problems["docker"]
    return problems


def _problem(job: Callable[[], object]) -> str:
    try:
        job()
    except ToolError as error:
        return str(error)
    return ""


@contextmanager
def _one_at_a_time(say: Say) -> Iterator[None]:
    """Let a second set-up (another clone's) wait for the first."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
