# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base import errors
from ansible_collections.lepotato.backup.plugins.module_utils.provision.release import (
    current_digest,
    install_release,
    package_sources,
    prune_releases,
    release_digest,
    release_files,
    release_is_whole,
    switch_current,
)

PACKAGE = errors.__name__.rpartition(".")[0]


def _program(answer: str) -> dict[str, bytes]:
    cli = f"import sys\ndef main():\n    print({answer!r}, *sys.argv[1:])\n    return 3\n"
    return release_files({"__init__.py": b"", "cli/__init__.py": b"", "cli/main.py": cli.encode()})


def _install(root: Path, files: dict[str, bytes]) -> str:
    digest = release_digest(files)
    install_release(str(root), digest, files)
    switch_current(str(root), digest)
    return digest


def test_the_sources_of_a_package_in_a_directory_are_its_files() -> None:
    sources = package_sources(PACKAGE)
    directory = Path(errors.__file__).parent
    assert sources["errors.py"] == (directory / "errors.py").read_bytes()
    assert sources["__init__.py"] == b""


def test_the_sources_of_a_package_in_a_zip_file_are_its_files(tmp_path: Path) -> None:
    # Ansible sends a module with its module_utils in a zip file.
    path = tmp_path / "payload.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sent/__init__.py", "")
        archive.writestr("sent/cli.py", "# caf\u00e9\nX = 1\n")
        archive.writestr("sent/deeper/__init__.py", "")
        archive.writestr("sent/deeper/more.py", "Y = 2\n")
    sys.path.insert(0, str(path))
    try:
        sources = package_sources("sent")
    finally:
        sys.path.remove(str(path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "sent"]:
            del sys.modules[name]
    assert sources == {
        "__init__.py": b"",
        "cli.py": "# caf\u00e9\nX = 1\n".encode(),
        "deeper/__init__.py": b"",
        "deeper/more.py": b"Y = 2\n",
    }


def test_the_digest_follows_names_and_contents() -> None:
    one = {"a": b"1", "b": b"2"}
    assert release_digest(one) == release_digest(dict(reversed(list(one.items()))))
    others = [{"a": b"1", "b": b"3"}, {"a": b"1", "c": b"2"}, {"a": b"1b", "": b"2"}, {"a": b"1"}]
    assert len({release_digest(files) for files in [one, *others]}) == 5


def test_an_installed_release_runs_as_a_directory(tmp_path: Path) -> None:
    _install(tmp_path, _program("first"))
    ended = subprocess.run(
        [sys.executable, "-I", os.path.realpath(tmp_path / "current"), "an argument"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, "first an argument\n")


def test_a_new_release_leaves_the_old_one_whole_for_a_run_under_way(tmp_path: Path) -> None:
    first, second = _program("first"), _program("second")
    digest = _install(tmp_path, first)
    running = os.path.realpath(tmp_path / "current")
    new_digest = _install(tmp_path, second)
    assert (current_digest(str(tmp_path)), digest) == (new_digest, os.path.basename(running))
    assert release_is_whole(str(tmp_path), digest, first)
    assert release_is_whole(str(tmp_path), new_digest, second)


def test_a_damaged_release_is_noticed_and_mended(tmp_path: Path) -> None:
    files = _program("first")
    digest = _install(tmp_path, files)
    damaged = tmp_path / "releases" / digest / "module_utils" / "cli" / "main.py"
    damaged.write_text("")
    assert not release_is_whole(str(tmp_path), digest, files)
    damaged.unlink()
    assert not release_is_whole(str(tmp_path), digest, files)
    install_release(str(tmp_path), digest, files)
    assert release_is_whole(str(tmp_path), digest, files)


def test_an_interrupted_install_does_not_hinder_the_next(tmp_path: Path) -> None:
    files = _program("first")
    (tmp_path / "releases" / ".new-abc").mkdir(parents=True)
    (tmp_path / "current.new").symlink_to("releases/nothing")
    digest = _install(tmp_path, files)
    assert prune_releases(str(tmp_path), digest, 0) == [".new-abc"]
    assert current_digest(str(tmp_path)) == digest


def test_the_newest_releases_are_kept(tmp_path: Path) -> None:
    digests = [_install(tmp_path, _program(str(number))) for number in range(5)]
    for age, digest in enumerate(digests):
        os.utime(tmp_path / "releases" / digest, (1000 + age, 1000 + age))
    assert prune_releases(str(tmp_path), digests[4], 2) == sorted(digests[:2])
    assert sorted(os.listdir(tmp_path / "releases")) == sorted(digests[2:])


def test_nothing_is_installed_at_first(tmp_path: Path) -> None:
    assert current_digest(str(tmp_path)) == ""
    assert not release_is_whole(str(tmp_path), "0123", {"a": b""})


def test_a_directory_in_place_of_the_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    with pytest.raises(errors.BackupError, match=r"current is not a link"):
        current_digest(str(tmp_path))
