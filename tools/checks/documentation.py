# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written around the code: documentation, changelog, licences, requirements."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..paths import CHECKOUT
from ..shell import ToolError
from ..venvs import DOCUMENTATION, venv_program
from .execution_environment import problems
from .fragments import missing_fragment
from .stage import Log, Stage, last_line
from .tree import copy_collection, tracked_files


def stages() -> list[Stage]:
    """Return the stages that read what people read."""
    return [
        Stage("lint: REUSE", _reuse),
        Stage("lint: changelog fragment", _fragment),
        Stage("lint: execution environment", _execution_environment),
        Stage("lint: antsibull-changelog", _changelog, needs="docs"),
        Stage("lint: antsibull-docs", _docs, needs="docs"),
    ]


def _reuse(log: Log) -> str:
    """Find files that name no licence, and licences whose text is missing."""
    log.call("reuse", "lint", "--lines")
    return f"{len(tracked_files())} files"


def _fragment(log: Log) -> str:  # noqa: ARG001 - git is asked, no program of the venv
    problem = missing_fragment(CHECKOUT)
    if problem:
        raise ToolError(problem)
    return ""


def _execution_environment(log: Log) -> str:  # noqa: ARG001 - only reads files
    found = problems(CHECKOUT)
    if found:
        raise ToolError("\n".join([found[0], *found[1:]]))
    return ""


def _changelog(log: Log) -> str:
    log.call(venv_program("antsibull-changelog", DOCUMENTATION), "lint", env=docs_env())
    return ""


def _docs(log: Log) -> str:
    """Check the documentation's schema, its markup and what it refers to.

    The program runs ansible-doc, and copies what it calls the collection: everything below
    the folder, caches too, were it this checkout.
    """
    with tempfile.TemporaryDirectory(prefix="lpb-docs-") as scratch:
        tree = copy_collection(Path(scratch))
        output = log.call(
            *(venv_program("antsibull-docs", DOCUMENTATION), "lint-collection-docs"),
            *("--plugin-docs", "--check-extra-docs-refs"),
            *("--validate-collection-refs", "self", "--disallow-unknown-collection-refs", "."),
            cwd=tree,
            env=docs_env(),
        )
    return last_line(output, "warning")


def docs_env() -> dict[str, str]:
    """Return the environment in which the documentation's programs find their ansible-doc."""
    programs = Path(venv_program("python", DOCUMENTATION)).parent
    return {"PATH": f"{programs}:/usr/bin:/bin", "ANSIBLE_CONFIG": ""}
