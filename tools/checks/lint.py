# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The linters."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..ansible_env import ansible_env
from ..paths import CHECKOUT, COLLECTIONS
from ..shell import ToolError, run
from .stage import Log, Stage
from .tree import tracked_files

# Checked under their full names, as they import each other.
TYPED_PACKAGES = ("ansible_collections.lepotato.backup.plugins", "b2_standin", "tools")
# Trees of test files, where two may have the same base name.
TYPED_TREES = (
    "tests/conftest.py",
    "tests/unit",
    "tests/integration",
    "tests/tools",
    "molecule",
    "bench",
)


def stages() -> list[Stage]:
    """Return the linters' stages."""
    return [
        Stage("lint: ruff", _ruff),
        Stage("lint: mypy --strict", _mypy),
        Stage("lint: import-linter", check_imports),
        Stage("lint: yamllint", _yamllint),
        Stage("lint: shellcheck", _shellcheck),
        Stage("lint: ansible-lint", _ansible_lint),
    ]


def _ruff(log: Log) -> str:
    log.call("ruff", "check", "--output-format", "concise", ".")
    return last_line_of(log.call("ruff", "format", "--check", "."))


def _mypy(log: Log) -> str:
    packages = [option for name in TYPED_PACKAGES for option in ("-p", name)]
    found = last_line_of(log.call("mypy", *packages))
    trees = [
        name
        for name in tracked_files()
        if name.endswith(".py") and name.startswith(TYPED_TREES) and "b2_standin/" not in name
    ]
    return f"{found}; tests: {last_line_of(log.call('mypy', *trees))}"


def check_imports(log: Log, tree: Path = CHECKOUT) -> str:
    """Check a tree's imports against the contracts in its pyproject.toml.

    Raises:
        ToolError: an import breaks one; the text names both modules and the line.
    """
    found = log.call(
        *("lint-imports", "--no-logo", "--no-cache"),
        cwd=tree,
        # Wide enough that no module's name is wrapped.
        env={"PYTHONPATH": str(tree / COLLECTIONS.name), "COLUMNS": "240"},
    )
    return last_line_of(found)


def _yamllint(log: Log) -> str:
    log.call("yamllint", "--strict", ".")
    return ""


def _ansible_lint(log: Log) -> str:
    return last_line_of(log.call("ansible-lint", "--offline", "--nocolor", "-q"))


def _shellcheck(log: Log) -> str:
    """Check shell scripts as they arrive on the host: templates with the roles' defaults."""
    scripts = [CHECKOUT / name for name in tracked_files() if _is_shell(CHECKOUT / name)]
    with tempfile.TemporaryDirectory() as scratch:
        rendered = _render_templates(Path(scratch))
        everything = [str(path) for path in [*scripts, *rendered]]
        if not rendered:
            raise ToolError("no role has a template of a shell script: look in the wrong place?")
        log.call("shellcheck", *everything)
    return f"{len(scripts)} scripts, {len(rendered)} rendered templates"


def _render_templates(target: Path) -> list[Path]:
    rendered = []
    for template in sorted(CHECKOUT.glob("roles/*/templates/**/*.sh.j2")):
        role = template.relative_to(CHECKOUT / "roles").parts[0]
        path = target / f"{role}-{template.stem}"
        variables = []
        for name in ("defaults", "vars"):
            file = CHECKOUT / "roles" / role / name / "main.yml"
            variables += ["--extra-vars", f"@{file}"] if file.exists() else []
        run(
            ["ansible", "localhost", "--connection", "local", "--module-name"]
            + ["ansible.builtin.template", "--args", f"src={template} dest={path} mode=0755"]
            + ["--extra-vars", "inventory_hostname=potato", *variables],
            cwd=CHECKOUT,
            env=ansible_env(),
        )
        rendered.append(path)
    return rendered


def _is_shell(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.suffix == ".j2":
        return False
    with path.open("rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"sh", b"bash")


def last_line_of(output: str) -> str:
    """Return the last line that says something."""
    lines = [line for line in output.splitlines() if line.strip() and line[:2] != "$ "]
    return lines[-1].strip() if lines else ""
