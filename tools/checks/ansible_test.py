# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test and what the collection must be able to do as a tarball."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Optional

from ..paths import CHECKOUT, cache_dir
from ..shell import ToolError, run
from ..venvs import IMPORTER, venv_program
from .stage import Log, Stage
from .tree import copy_collection, tracked_files

PLUGIN_TYPES = ("module", "filter", "lookup", "test", "callback", "connection", "inventory")
# The oldest that is promised for what runs on a board, and on any machine in a restore.
OLDEST_PYTHON = "3.9"
PYTHON_VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# ansible-test makes its environments with this pip and asks for a script of its own
# making, which it would load from a site that many machines can't reach.
GET_PIP = """\
import sys
sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main
arguments = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
raise SystemExit(main(["install", *arguments]))
"""


def stages() -> list[Stage]:
    """Return the stages around ansible-test and the tarball."""
    return [
        Stage("ansible-test sanity", _sanity),
        Stage("ansible-test units", _units),
        Stage("collection tarball", _tarball),
        Stage("galaxy-importer", _importer, needs="importer"),
    ]


def _sanity(log: Log) -> str:
    with tempfile.TemporaryDirectory(prefix="lpb-sanity-") as scratch:
        tree = copy_collection(Path(scratch))
        try:
            log.call("ansible-test", "sanity", "--color", "no", cwd=tree, env=_home(log))
        except ToolError as error:
            # Between the complaints pip tells at length what it installs.
            told = log.path.read_text(errors="replace").splitlines()
            complaints = [line for line in told if line.startswith(("ERROR", "FATAL"))]
            raise ToolError("\n".join([str(error).partition("\n")[0], *complaints])) from error
    return ""


def _units(log: Log) -> str:
    """Run them on this Python, and what the board runs on the oldest one where it is at hand."""
    env = _home(log)
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory(prefix="lpb-units-") as scratch:
        tree = copy_collection(Path(scratch))
        told = [_units_on(log, own, tree, env)]
        if (Path(env["PATH"].split(os.pathsep)[0]) / f"python{OLDEST_PYTHON}").exists():
            told.append(_units_on(log, OLDEST_PYTHON, tree, env))
        else:
            told.append(f"no Python {OLDEST_PYTHON} here")
    return "; ".join(told)


def _units_on(log: Log, version: str, tree: Path, env: dict[str, str]) -> str:
    output = log.call(
        *("ansible-test", "units", "--venv", "--python", version, "--color", "no"),
        cwd=tree,
        env=env,
    )
    # One run of pytest for the modules, one for module_utils, one for the controller's plugins.
    counted = [line.strip(" =") for line in output.splitlines() if " passed in " in line]
    if not counted:
        raise ToolError(f"no test ran on Python {version}, log in {log.path}")
    return f"Python {version}: {', '.join(counted)}"


def _home(log: Log) -> dict[str, str]:
    """Return a home folder for ansible-test, its environments kept for the next run."""
    programs = str(Path(venv_program("python")).parent)
    home = cache_dir() / "ansible-test"
    wheels = home / "wheels"
    version = _bootstrap_pip_version()
    seeded = home / ".ansible/test/cache" / f"get_pip_{version.replace('.', '_')}.py"
    if not seeded.exists():
        python = venv_program("python")
        log.call(
            *(python, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels)),
            f"pip=={version}",
        )
        wheel = next(wheels.glob(f"pip-{version}-*.whl"))
        seeded.parent.mkdir(parents=True, exist_ok=True)
        seeded.write_text(GET_PIP.format(wheel=str(wheel)))
    # The tree is copied to where its collections path says; the link must not be seen too.
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(_interpreters(home)), programs, *SYSTEM_PATH]),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": "",
        "PIP_CACHE_DIR": str(cache_dir() / "pip"),
        "PYTHONPATH": "",
    }


def _interpreters(home: Path) -> Path:
    """Return a folder with a link to each Python that really runs.

    ansible-test compiles the modules under every version that it finds on PATH. A version
    manager's shim is found and then does not run, so that the interpreters behind it are
    looked for where such a manager keeps them.
    """
    folder = home / "interpreters"
    folder.mkdir(parents=True, exist_ok=True)
    for version in PYTHON_VERSIONS:
        name = f"python{version}"
        managed = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/{name}"))
        link = folder / name
        link.unlink(missing_ok=True)
        for candidate in [shutil.which(name), *map(str, managed)]:
            if candidate and _runs(candidate):
                link.symlink_to(candidate)
                break
    return folder


def _runs(python: str) -> bool:
    try:
        return run([python, "-c", "import ssl"], check=False).returncode == 0
    except ToolError:
        return False


def _bootstrap_pip_version() -> str:
    code = (
        "import sys, ansible_test; sys.path.insert(0, ansible_test.__path__[0])\n"
        "from ansible_test._internal.python_requirements import collect_bootstrap\n"
        "from ansible_test._internal.host_configs import NativePythonConfig\n"
        "version = f'{sys.version_info.major}.{sys.version_info.minor}'\n"
        "print(collect_bootstrap(NativePythonConfig(version=version, path=sys.executable))[0]"
        ".pip_version)"
    )
    return run([venv_program("python"), "-c", code]).stdout.strip()


def build(target: Path) -> Path:
    """Build the collection's tarball from the files that git knows; return its path."""
    with tempfile.TemporaryDirectory(prefix="lpb-build-") as scratch:
        tree = copy_collection(Path(scratch))
        run(
            [venv_program("ansible-galaxy"), "collection", "build", "--output-path", str(target)],
            cwd=tree,
        )
    return next(target.glob("lepotato-backup-*.tar.gz"))


def install(
    log: Log,
    tarball: Path,
    target: Path,
    cwd: Path = CHECKOUT,
    env: Optional[dict[str, str]] = None,
) -> None:
    """Install the collection's tarball below *target*, as a user does."""
    # Without --force it would find this checkout, say that nothing is to do, and install nothing.
    options = ("collection", "install", "--force", str(tarball), "-p", str(target))
    log.call("ansible-galaxy", *options, cwd=cwd, env=env)


def _tarball(log: Log) -> str:
    """Install the tarball elsewhere; there every plugin and role has its documentation,
    and the playbook is found by its full name."""
    with tempfile.TemporaryDirectory(prefix="lpb-tarball-") as scratch:
        tarball = build(Path(scratch))
        installed = Path(scratch) / "collections"
        # An empty inventory and configuration: nothing of the checkout may help.
        config = Path(scratch) / "ansible.cfg"
        config.write_text(f"[defaults]\ncollections_path = {installed}\n")
        env = {"ANSIBLE_CONFIG": str(config), "ANSIBLE_COLLECTIONS_PATH": str(installed)}
        here = Path(scratch)
        install(log, tarball, installed, cwd=here, env=env)
        tree = installed / "ansible_collections" / "lepotato" / "backup"
        _check_contents(tree)
        documented = _document(log, tree, here, env)
        for playbook in sorted((tree / "playbooks").glob("*.yml")):
            name = f"lepotato.backup.{playbook.stem}"
            log.call("ansible-playbook", "--syntax-check", name, cwd=here, env=env)
    return f"{documented} plugins and roles documented"


def _check_contents(tree: Path) -> None:
    wanted = {
        name
        for name in tracked_files()
        if name.startswith(("plugins/", "roles/", "playbooks/", "meta/")) and "/." not in name
    }
    present = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    missing = sorted(wanted - present)
    if missing:
        raise ToolError(f"not in the tarball: {', '.join(missing)}")
    strange = sorted(
        name for name in present if name.startswith((".", "tools/", "molecule/", "bench/"))
    )
    if strange:
        raise ToolError(f"should not be in the tarball: {', '.join(strange)}")


def _document(log: Log, tree: Path, cwd: Path, env: dict[str, str]) -> int:
    count = 0
    for kind in PLUGIN_TYPES:
        folder = tree / "plugins" / ("modules" if kind == "module" else kind)
        # An action plugin is documented by the module of its name.
        names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        for name in sorted(names):
            output = log.call(
                "ansible-doc", "-t", kind, "--json", f"lepotato.backup.{name}", cwd=cwd, env=env
            )
            _parse_doc(output, f"lepotato.backup.{name}")
            count += 1
    roles = {path.name for path in (tree / "roles").iterdir()}
    output = log.call("ansible-doc", "-t", "role", "--list", "lepotato.backup", cwd=cwd, env=env)
    undocumented = sorted(role for role in roles if f"lepotato.backup.{role}" not in output)
    if undocumented:
        raise ToolError(f"ansible-doc shows no role {', '.join(undocumented)}")
    return count + len(roles)


def _parse_doc(output: str, name: str) -> None:
    shown = json.loads(output[output.index("{") :])
    if not shown.get(name, {}).get("doc", {}).get("short_description"):
        raise ToolError(f"ansible-doc knows no description of {name}")


def _importer(log: Log) -> str:
    with tempfile.TemporaryDirectory(prefix="lpb-importer-") as scratch:
        tarball = build(Path(scratch))
        # Its ansible-lint must find the playbooks that name each other in full.
        collections = Path(scratch) / "collections"
        install(log, tarball, collections)
        programs = str(Path(venv_program("python", IMPORTER)).parent)
        config = Path(scratch) / "importer.cfg"
        config.write_text("[galaxy-importer]\nCHECK_REQUIRED_TAGS=True\nLOG_LEVEL_MAIN=INFO\n")
        output = log.call(
            *(f"{programs}/python", "-m", "galaxy_importer.main", str(tarball)),
            cwd=Path(scratch),
            env={
                "GALAXY_IMPORTER_CONFIG": str(config),
                "PATH": f"{programs}:/usr/bin:/bin",
                "ANSIBLE_CONFIG": "",
                "ANSIBLE_COLLECTIONS_PATH": str(collections),
            },
        )
    complaints = [line for line in output.splitlines() if line.startswith(("WARNING", "ERROR"))]
    if complaints or "Importer processing completed successfully" not in output:
        raise ToolError("\n".join(["galaxy-importer complains", *complaints[:40]]))
    return ""
