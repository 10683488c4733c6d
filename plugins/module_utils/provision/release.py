# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the nightly program: a release directory per version, and one link that is switched.

The program is this very package, ``module_utils``. A release is a copy of it in a directory
named by its digest; ``current`` links to it and is replaced by a rename, so a run that starts
during a deploy gets the old program or the new one, whole. Older releases stay for runs that
are under way.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import shutil
import tempfile
from typing import Dict, List, Mapping, Union

from ..base.errors import BackupError
from ..filesystem.atomic_write import sync_directory, write_atomically

PACKAGE_DIRECTORY = "module_utils"
ENTRY_MODULE = "cli.main"
CURRENT_LINK = "current"
RELEASES_DIRECTORY = "releases"

# 64 bits of SHA-256 tell a handful of releases apart.
DIGEST_CHARS = 16

# Python runs a directory that holds a __main__.py and puts that directory on sys.path.
MAIN_PROGRAM = b"""\
from module_utils.cli.main import main

raise SystemExit(main())
"""


def package_sources(package_name: str) -> Dict[str, bytes]:
    """The Python sources of an importable package, by path relative to it.

    They are read through the package's loader, so this works from a directory and from the
    zip file in which Ansible sends a module with its ``module_utils``.

    Raises :class:`BackupError` when a source can't be read.
    """
    package = importlib.import_module(package_name)
    sources: Dict[str, bytes] = {"__init__.py": b""}
    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg:
            for path, content in package_sources(f"{package_name}.{module.name}").items():
                sources[f"{module.name}/{path}"] = content
            continue
        sources[f"{module.name}.py"] = _module_source(f"{package_name}.{module.name}")
    return sources


def _module_source(module_name: str) -> bytes:
    spec = importlib.util.find_spec(module_name)
    # Ansible's own loader gives bytes where Python's give text.
    source: Union[str, bytes, None] = None
    if spec is not None and spec.loader is not None and hasattr(spec.loader, "get_source"):
        source = spec.loader.get_source(module_name)
    if source is None:
        raise BackupError(
            f"the source of {module_name} can't be read", "Install the collection again"
        )
    return source if isinstance(source, bytes) else source.encode("utf-8")


def release_files(sources: Mapping[str, bytes]) -> Dict[str, bytes]:
    """The files of a release, by path relative to its directory."""
    files = {f"{PACKAGE_DIRECTORY}/{path}": content for path, content in sources.items()}
    files["__main__.py"] = MAIN_PROGRAM
    return files


def release_digest(files: Mapping[str, bytes]) -> str:
    """A name for these file names and contents, whatever their order."""
    summary = hashlib.sha256()
    for path in sorted(files):
        for part in (path.encode("utf-8"), files[path]):
            summary.update(len(part).to_bytes(8, "big"))
            summary.update(part)
    return summary.hexdigest()[:DIGEST_CHARS]


def current_digest(root: str) -> str:
    """The digest of the release that *root*'s link names; empty when there is none."""
    try:
        return os.path.basename(os.readlink(os.path.join(root, CURRENT_LINK)))
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BackupError(
            f"{os.path.join(root, CURRENT_LINK)} is not a link: {error.strerror}",
            "Move it away and run site.yml again",
        ) from error


def release_is_whole(root: str, digest: str, files: Mapping[str, bytes]) -> bool:
    """Whether the release directory holds exactly these bytes."""
    directory = _release_path(root, digest)
    for path, content in files.items():
        try:
            with open(os.path.join(directory, path), "rb") as stream:
                if stream.read() != content:
                    return False
        except FileNotFoundError:
            return False
    return True


def install_release(root: str, digest: str, files: Mapping[str, bytes]) -> None:
    """Write the release; the link is not switched yet. A damaged release is mended in place."""
    directory = _release_path(root, digest)
    if os.path.isdir(directory):
        for path, content in files.items():
            write_atomically(os.path.join(directory, path), content, 0o644)
        return
    releases = os.path.dirname(directory)
    os.makedirs(releases, mode=0o755, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=releases, prefix=".new-")
    try:
        os.chmod(temporary, 0o755)
        for path, content in files.items():
            _write_new(os.path.join(temporary, path), content)
        for parent, _directories, _files in os.walk(temporary):
            sync_directory(parent)
        os.rename(temporary, directory)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    sync_directory(releases)


def _write_new(path: str, content: bytes) -> None:
    # No rename for each file: the directory that it lies in is renamed when it is whole.
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), 0o644)
        stream.flush()
        os.fsync(stream.fileno())


def switch_current(root: str, digest: str) -> None:
    """Make *root*'s link name the release, by one rename."""
    link = os.path.join(root, CURRENT_LINK)
    temporary = f"{link}.new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(os.path.join(RELEASES_DIRECTORY, digest), temporary)
    os.rename(temporary, link)
    sync_directory(root)


def prune_releases(root: str, digest: str, kept_releases: int) -> List[str]:
    """Remove all but *digest* and the *kept_releases* newest others; returns their names."""
    releases = os.path.join(root, RELEASES_DIRECTORY)
    others = [entry for entry in os.scandir(releases) if entry.name != digest]
    others.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    removed = others[kept_releases:]
    for entry in removed:
        shutil.rmtree(entry.path)
    return sorted(entry.name for entry in removed)


def _release_path(root: str, digest: str) -> str:
    return os.path.join(root, RELEASES_DIRECTORY, digest)
