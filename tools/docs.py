# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the collection's pages, as HTML, into build/docs.

python3 -m tools.docs
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from . import setup
from .checks.documentation import docs_env
from .checks.tree import copy_collection
from .paths import CHECKOUT, log_dir
from .shell import ToolError, run, run_logged, tail
from .venvs import DOCUMENTATION, venv_program

COLLECTION = "lepotato.backup"
TARGET = CHECKOUT / "build" / "docs"
# Pages of Ansible's own site. Asking it where they are would make each build depend on it.
ELSEWHERE = ("action_plugins", "ansible_configuration_settings", "common_return_values")
UNDEFINED = re.compile(r"WARNING: undefined label: '([^']+)'")


def main() -> int:
    """Build the site; 1 when it can't be built, or when a reference leads nowhere."""
    try:
        setup.prepare(["docs"], lambda text: print(f"set-up: {text}", flush=True))
        build(TARGET)
    except ToolError as error:
        sys.stderr.write(f"the pages can't be built: {error}\n")
        return 1
    print(f"{len(list(TARGET.rglob('*.html')))} pages: {TARGET / 'index.html'}")
    return 0


def build(target: Path) -> None:
    """Put the site into *target*, in place of what was there.

    Raises:
        ToolError: a program failed or warned.
    """
    with tempfile.TemporaryDirectory(prefix="lpb-site-") as scratch:
        collections = Path(scratch) / "collections"
        copy_collection(collections)
        pages = Path(scratch) / "pages"
        pages.mkdir(mode=0o700)
        env = {**docs_env(), "ANSIBLE_COLLECTIONS_PATH": str(collections)}
        antsibull = venv_program("antsibull-docs", DOCUMENTATION)
        run(
            [antsibull, "sphinx-init", "--use-current", "--squash-hierarchy", "--lenient"]
            + ["--project", COLLECTION, "--title", COLLECTION]
            + ["--copyright", "lepotato.backup contributors"]
            + ["--dest-dir", str(pages), COLLECTION],
            env=env,
        )
        with (pages / "conf.py").open("a") as stream:
            stream.write("\nintersphinx_mapping = {}\n")
        source = pages / "rst"
        # Its index is for a site of several collections; this one's is the collection's page.
        shutil.rmtree(source)
        source.mkdir(mode=0o700)
        run(
            [antsibull, "--config-file", str(pages / "antsibull-docs.cfg"), "collection"]
            + ["--use-current", "--squash-hierarchy", "--dest-dir", str(source), COLLECTION],
            env=env,
        )
        _render(source, pages, env)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(pages / "html", target)


def _render(source: Path, pages: Path, env: dict[str, str]) -> None:
    log = log_dir() / "docs.log"
    log.unlink(missing_ok=True)
    warnings = pages / "warnings"
    sphinx = venv_program("sphinx-build", DOCUMENTATION)
    argv = [sphinx, "-q", "-b", "html", "-c", str(pages), "-w", str(warnings)]
    code = run_logged([*argv, str(source), str(pages / "html")], log, env=env)
    if code != 0:
        raise ToolError(f"exit code {code}, log in {log}\n{tail(log.read_text())}")
    told = [line for line in warnings.read_text().splitlines() if "WARNING" in line]
    wrong = [line.replace(f"{source}/", "") for line in told if not _is_elsewhere(line)]
    if wrong:
        raise ToolError("\n".join([f"{len(wrong)} warnings", *wrong]))


def _is_elsewhere(warning: str) -> bool:
    label = UNDEFINED.search(warning)
    return label is not None and label[1] in ELSEWHERE


if __name__ == "__main__":
    raise SystemExit(main())
