# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects that a real Docker Compose v2 made: its labels and conditions, not recorded ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List

import pytest
from integration.container_lab import (
    DRIVER_TIMEOUT_SECONDS,
    Lab,
    docker,
    needed_image,
    night,
    tree_difference,
)
from integration.night_host import MODULE_UTILS, NightHost, mounted_ssd

from b2_standin.client import StandIn
from tools.compose_plugin import docker_config, is_there

# job ends after its work, as a database's migration does; app waits for both, web for app.
PROJECT = """
services:
  db:
    image: {image}
    command:
      - sh
      - -c
      - 'trap "exit 0" TERM; : >> /data/ready; while :; do sleep 0.05; done'
    volumes: ["{volumes}/db:/data"]
    healthcheck: {{test: [CMD, test, -f, /data/ready], interval: 1s}}
    restart: unless-stopped
    labels: {{lpb-lab: {prefix}}}
  job:
    image: {image}
    command: [sh, -c, "date > /data/migrated"]
    volumes: ["{volumes}/db:/data"]
    labels: {{lpb-lab: {prefix}}}
    depends_on: {{db: {{condition: service_healthy}}}}
  app:
    image: {image}
    command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.05; done']
    volumes: ["{volumes}/app:/data"]
    labels: {{lpb-lab: {prefix}}}
    depends_on:
      db: {{condition: service_healthy}}
      job: {{condition: service_completed_successfully}}
  web:
    image: {image}
    command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.05; done']
    volumes: ["{volumes}/web:/data"]
    restart: always
    labels: {{lpb-lab: {prefix}}}
    depends_on: [app]
networks:
  default: {{name: {prefix}}}
"""
STATES = {"db-1": "running", "job-1": "exited", "app-1": "running", "web-1": "running"}


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    image = needed_image()
    if not is_there():
        pytest.skip("compose v2 is not there: python3 -m tools.setup docker")
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_config()))
    with Lab(tmp_path / "lab", image) as lab, project(lab, lab.volumes):
        yield lab


@contextmanager
def project(lab: Lab, volumes: Path) -> Iterator[None]:
    """The project, up, with its data in *volumes*."""
    for name in ("db", "app", "web"):
        (volumes / name).mkdir()
    text = PROJECT.format(image=lab.image, volumes=volumes, prefix=lab.prefix)
    (lab.directory / "opt/compose.yml").write_text(text)
    compose(lab, "up", "--detach")
    try:
        yield
    finally:
        compose(lab, "down", "--timeout", "2")


def compose(lab: Lab, *argv: str) -> str:
    # Without a name of its own the project is called after its directory.
    where = ["--project-directory", str(lab.directory / "opt")]
    return docker("compose", "--project-name", lab.prefix, *where, *argv)


def program(lab: Lab, *argv: str) -> subprocess.CompletedProcess[str]:
    config = lab.config()
    config["sources"] = [
        {"tree": "docker-volumes", "paths": [str(lab.volumes)]},
        {"tree": "docker-compose", "paths": [str(lab.directory / "opt")]},
    ]
    path = lab.directory / "config.json"
    path.write_text(json.dumps(config))
    main = f"import sys; from {MODULE_UTILS}.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", main, "--config", str(path), *argv],
        check=False,
        capture_output=True,
        text=True,
        timeout=DRIVER_TIMEOUT_SECONDS,
        env={**os.environ, "COMPOSE_PROJECT_NAME": lab.prefix},
    )


def names(lab: Lab, *services: str) -> List[str]:
    return [f"{lab.prefix}-{service}-1" for service in services]


def test_a_project_is_one_group_stopped_and_started_in_its_order(lab: Lab) -> None:
    assert lab.states() == STATES
    answer = night(lab)["capture"]
    assert [group["stop_order"] for group in answer["groups"]] == [names(lab, "web", "app", "db")]
    assert answer["groups"][0]["start_order"] == names(lab, "db", "app", "web")
    assert not answer["warnings"]
    assert lab.states() == STATES
    assert tree_difference(lab.volumes, lab.staged(lab.volumes)) == []
    # Compose takes the containers for its own: there is nothing to do for it.
    before = ids(lab)
    compose(lab, "up", "--detach")
    assert {name: before[name] for name in before if "job" not in name} == {
        name: identity for name, identity in ids(lab).items() if "job" not in name
    }


def test_what_compose_makes_anew_while_it_is_down_is_found_again(lab: Lab) -> None:
    killed = lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGKILL)))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert lab.states()["db-1"] == "exited"
    before = ids(lab)
    compose(lab, "create", "--force-recreate")
    assert ids(lab) != before
    recovered = program(lab, "recover", "--json")
    assert recovered.returncode == 0, recovered.stderr
    assert json.loads(recovered.stdout)["started"] == names(lab, "db", "app", "web")
    states = lab.states()
    assert {name: states[name] for name in STATES if name != "job-1"} == {
        name: state for name, state in STATES.items() if name != "job-1"
    }
    assert not lab.stopped_file.exists()
    night(lab)


def test_the_stack_is_brought_up_by_compose_v2(lab: Lab) -> None:
    """As the playbook restore does it on a new board."""
    compose(lab, "down", "--timeout", "2")
    assert lab.states() == {}
    started = program(lab, "start", "--json")
    assert started.returncode == 0, started.stdout + started.stderr
    project = json.loads(started.stdout)[0]
    assert project["healthy"] == sorted(names(lab, "app", "db", "web"))
    assert project["finished"] == names(lab, "job")
    assert not project["problems"]
    assert lab.states() == STATES


def test_a_volume_of_a_project_is_replaced_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = needed_image()
    if not is_there():
        pytest.skip("compose v2 is not there: python3 -m tools.setup docker")
    if os.geteuid() != 0:
        pytest.skip("mounting an SSD needs root")
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_config()))
    with (
        StandIn.start(tmp_path / "b2") as stand_in,
        mounted_ssd(tmp_path) as ssd,
        Lab(tmp_path / "lab", image) as lab,
    ):
        host = NightHost(tmp_path, ssd, stand_in)
        (host.compose / "compose.yml").write_text("services: {}\n")
        with project(lab, host.volumes):
            (host.volumes / "db/rows").write_text("good\n")
            host.write_config(
                containers={"stop_timeout_seconds": 20, "start_timeout_seconds": 60},
            )
            host.night()
            (host.volumes / "db/rows").write_text("lost\n")
            before = ids(lab)
            done = host.program("restore", "daily", "--in-place", "--volume", "db", "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
            # The containers are the same, healthy, and see the restored directory.
            assert (lab.states(), ids(lab)) == (STATES, before)
            assert docker("exec", f"{lab.prefix}-db-1", "cat", "/data/rows") == "good"
            # Compose, asked to stop and start its project, has nothing to mend.
            compose(lab, "stop", "--timeout", "2")
            compose(lab, "start")
            assert (lab.states()["db-1"], ids(lab)) == ("running", before)
            assert docker("exec", f"{lab.prefix}-db-1", "cat", "/data/rows") == "good"


def ids(lab: Lab) -> Dict[str, str]:
    listed = docker(
        *("ps", "-a", "--no-trunc", "--filter", f"label=lpb-lab={lab.prefix}"),
        *("--format", "{{.Names}} {{.ID}}"),
    )
    return dict(line.split() for line in listed.splitlines())
