# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the roles as Ansible sends them: in a zip file, through the action plugin.

One run of ansible-playbook does everything to this machine's temporary directories; each test
looks at the tasks it is about.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.ansible_runs import CHECKOUT, PlaybookRun, TaskResult, run_playbook

from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    Source,
    load_config,
)

BINARY = b"#!/bin/sh\necho rclone v1.75.2\n"
SHA256 = hashlib.sha256(BINARY).hexdigest()
OTHER_SHA256 = "0" * 64


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory without telling standard error."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("modules")
    (directory / "bin").mkdir()
    (directory / "rclone-bare").write_bytes(BINARY)
    with zipfile.ZipFile(directory / "release.zip", "w") as archive:
        archive.writestr("rclone-v1.75.2-linux-arm64/rclone", BINARY)
        archive.writestr("rclone-v1.75.2-linux-arm64/README.txt", b"text")
    return directory


@pytest.fixture(scope="module")
def mirror(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _rclone(name: str, dest: Path, check_mode: bool = False, **options: str) -> dict[str, Any]:
    options.setdefault("sha256", SHA256)
    return {
        "name": name,
        "lepotato.backup.rclone_binary": {"dest": str(dest), **options},
        "check_mode": check_mode,
        "ignore_errors": True,
    }


def _program(name: str, site: Path, check_mode: bool = False, **agent: Any) -> dict[str, Any]:
    return {
        "name": name,
        "lepotato.backup.agent_program": {
            "root": str(site / "lib"),
            "config": f"{{{{ lookup('ansible.builtin.template', '{CHECKOUT}/roles/agent/templates/"
            "config.json.j2') }}",
            "config_path": str(site / "etc" / "config.json"),
            "directories": [{"path": str(site / "etc"), "mode": "0700"}],
            "files": [
                {
                    "path": str(site / "lepotato-backup"),
                    "mode": "0755",
                    "content": f"{{{{ lookup('ansible.builtin.template', '{CHECKOUT}/roles/agent/"
                    "templates/lepotato-backup.sh.j2') }}",
                }
            ],
        },
        "vars": {
            "agent__library_path": str(site / "lib"),
            "agent_bucket": "my-bucket",
            "agent_host": "potato",
            "agent_host_prefix": "potato",
            **agent,
        },
        "check_mode": check_mode,
        "ignore_errors": True,
    }


@pytest.fixture(scope="module")
def run(site: Path, mirror: str) -> PlaybookRun:
    bins = site / "bin"
    zipped, bare = str(site / "release.zip"), str(site / "rclone-bare")
    tasks = [
        _rclone("zip: check mode", bins / "zip", file=zipped, check_mode=True),
        _rclone("zip: installed", bins / "zip", file=zipped),
        _rclone("zip: again", bins / "zip", file=zipped),
        _rclone("zip: wrong sum", bins / "zip", file=zipped, sha256=OTHER_SHA256),
        _rclone("bare: installed", bins / "bare", file=bare),
        _rclone("file: missing", bins / "none", file=str(site / "nothing")),
        _rclone("url: check mode", bins / "url", url=f"{mirror}/release.zip", check_mode=True),
        _rclone("url: installed", bins / "url", url=f"{mirror}/release.zip"),
        _rclone("url: again without a server", bins / "url", url="http://127.0.0.1:1/release.zip"),
        _rclone("url: wrong sum", bins / "url", url=f"{mirror}/hosts.yml", sha256=OTHER_SHA256),
        _program("program: check mode", site, check_mode=True),
        _program("program: wrong configuration", site, agent_niceness=20),
        _program("program: installed", site),
        _program("program: again", site),
        _program("program: other configuration", site, agent_niceness=11),
    ]
    return run_playbook(site, {"host": _role_variables()}, tasks, "--diff")


def _role_variables() -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        file = CHECKOUT / "roles" / "agent" / part / "main.yml"
        variables.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    return variables


def _task(run: PlaybookRun, name: str) -> TaskResult:
    (found,) = (result for result in run.results["host"] if result.role_and_task == name)
    return found


def _outcome(run: PlaybookRun, name: str) -> str:
    task = _task(run, name)
    return "failed" if task.failed else "changed" if task.changed else "unchanged"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("zip: check mode", "changed"),
        ("zip: installed", "changed"),
        ("zip: again", "unchanged"),
        ("zip: wrong sum", "failed"),
        ("bare: installed", "changed"),
        ("file: missing", "failed"),
        ("url: check mode", "changed"),
        ("url: installed", "changed"),
        ("url: again without a server", "unchanged"),
        ("url: wrong sum", "failed"),
        ("program: check mode", "changed"),
        ("program: wrong configuration", "failed"),
        ("program: installed", "changed"),
        ("program: again", "unchanged"),
        ("program: other configuration", "changed"),
    ],
)
def test_each_task_ends_as_it_should(run: PlaybookRun, name: str, outcome: str) -> None:
    assert _outcome(run, name) == outcome, _task(run, name).message


def test_the_binary_is_installed_from_every_delivery_and_nothing_else(
    run: PlaybookRun, site: Path
) -> None:
    installed = {path.name: path.read_bytes() for path in (site / "bin").iterdir()}
    assert installed == {"zip": BINARY, "bare": BINARY, "url": BINARY}
    assert all(os.access(path, os.X_OK) for path in (site / "bin").iterdir())


@pytest.mark.parametrize("name", ["zip: wrong sum", "url: wrong sum"])
def test_a_mismatch_names_the_variable_and_both_sums(run: PlaybookRun, name: str) -> None:
    message = _task(run, name).message
    assert "rclone_binary_sha256" in message
    assert OTHER_SHA256 in message
    assert "what was installed stays" in message


def test_a_missing_file_names_its_variable(run: PlaybookRun) -> None:
    assert "rclone_file" in _task(run, "file: missing").message


def test_a_wrong_configuration_names_its_key(run: PlaybookRun, site: Path) -> None:
    message = _task(run, "program: wrong configuration").message
    assert f"{site}/etc/config.json: key 'capture.niceness' must be at most 19" in message


def test_the_installed_program_is_the_one_that_was_sent_and_runs(
    run: PlaybookRun, site: Path
) -> None:
    release = site / "lib" / "releases" / _task(run, "program: installed").result["release"]
    assert (site / "lib" / "current").resolve() == release
    source = CHECKOUT / "plugins" / "module_utils" / "cli" / "main.py"
    assert (release / "module_utils" / "cli" / "main.py").read_bytes() == source.read_bytes()
    ended = subprocess.run(
        [site / "lepotato-backup", "--config", site / "etc" / "config.json", "check-config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "potato" in ended.stdout) == (0, True), ended.stderr


def test_the_roles_defaults_are_the_programs(run: PlaybookRun, site: Path) -> None:
    config = load_config(str(site / "etc" / "config.json"))
    sources: tuple[Source, ...] = config.sources
    # What the last task changed, and what has no default.
    defaults = Config(host="potato", bucket="my-bucket", host_prefix="potato", sources=sources)
    assert config.capture.niceness == 11
    assert {
        "paths": config.paths,
        "rclone": config.rclone,
        "containers": config.containers,
        "guards": config.guards,
    } == {
        "paths": defaults.paths,
        "rclone": defaults.rclone,
        "containers": defaults.containers,
        "guards": defaults.guards,
    }


def test_the_configuration_is_written_for_people_too(run: PlaybookRun, site: Path) -> None:
    text = (site / "etc" / "config.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_the_configuration_is_private(run: PlaybookRun, site: Path) -> None:
    assert (site / "etc" / "config.json").stat().st_mode & 0o777 == 0o600
    assert (site / "etc").stat().st_mode & 0o777 == 0o700
