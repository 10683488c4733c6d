# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring up what the restored compose files describe, and wait until it is healthy."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from ..base.errors import CommandError
from ..base.journal import Journal
from ..config.schema import Config
from ..process.runner import Runner
from .engine import DockerClient, DockerError, NoSuchContainer
from .health import wait_until_ready

COMPOSE_TREE = "docker-compose"
WORKING_DIRECTORY_LABEL = "com.docker.compose.project.working_dir"

# In the order in which compose itself looks for them.
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")

# compose v2 is a plugin of Docker's client, 1.29 (Debian 12) a program of its own.
COMPOSE_PROGRAMS = (("docker", "compose"), ("docker-compose",))

# Restart policies of a container that is not meant to end.
KEEP_RUNNING_POLICIES = ("always", "unless-stopped")

# Pulling images over a slow line takes its time: 2 GB at 10 Mbit/s.
UP_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True)
class Project:
    """A directory with a compose file, and what became of it.

    *healthy*: its containers that are; *finished*: those that did their work and ended, as a
    database's migration does; *problems*: what is wrong, in sentences.
    """

    directory: str
    file: str
    healthy: Tuple[str, ...] = ()
    finished: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()


def find_projects(paths: Sequence[str]) -> List[Project]:
    """The compose projects at *paths* and one directory below each, sorted."""
    directories = list(paths)
    for path in paths:
        if os.path.isdir(path):
            directories += sorted(os.path.join(path, name) for name in os.listdir(path))
    found = []
    for directory in directories:
        for name in COMPOSE_FILES:
            if os.path.isfile(os.path.join(directory, name)):
                found.append(Project(directory, os.path.join(directory, name)))
                break
    return found


def bring_up(config: Config, runner: Runner, journal: Journal) -> List[Project]:
    """Start every project of the compose tree, one after the other, and wait until all are well.

    Where compose is not installed, the containers that a project has already are started. One
    project's failure holds up no other: it is in the result.
    """
    paths = [path for item in config.sources if item.tree == COMPOSE_TREE for path in item.paths]
    projects = find_projects(paths)
    docker = DockerClient(config.containers.socket)
    docker.wait_until_reachable(config.containers.start_timeout_seconds)
    environment = {"DOCKER_HOST": f"unix://{config.containers.socket}"}
    compose = _compose(runner, environment)
    begun: Dict[str, str] = {}
    for project in projects:
        journal.info(f"starting {project.directory}")
        begun[project.directory] = (
            _up(runner, compose, environment, project)
            if compose
            else _start_existing(docker, project)
        )
    limit = time.monotonic() + config.containers.start_timeout_seconds
    return [_look(docker, item, begun[item.directory], limit) for item in projects]


def _compose(runner: Runner, environment: Dict[str, str]) -> Tuple[str, ...]:
    for program in COMPOSE_PROGRAMS:
        try:
            runner.run([*program, "version"], env=environment)
            return program
        except CommandError:
            continue
    return ()


def _up(
    runner: Runner, compose: Tuple[str, ...], environment: Dict[str, str], project: Project
) -> str:
    argv = [*compose, "-f", project.file, "--project-directory", project.directory, "up", "-d"]
    try:
        runner.run(argv, env=environment, timeout_seconds=UP_TIMEOUT_SECONDS)
    except CommandError as error:
        return error.message
    return ""


def _start_existing(docker: DockerClient, project: Project) -> str:
    containers = _containers(docker, project)
    if not containers:
        return (
            f"neither 'docker compose' nor docker-compose is installed, and {project.directory} "
            "has no containers yet: install one of them and run 'lepotato-backup start' again"
        )
    for raw in containers:
        try:
            docker.start(raw["Id"])
        except DockerError as error:
            return error.message
    return ""


def _look(docker: DockerClient, project: Project, problem: str, limit: float) -> Project:
    healthy, finished, problems = [], [], [problem] if problem else []
    for raw in _containers(docker, project):
        name = raw["Name"].lstrip("/")
        readiness = wait_until_ready(docker, raw["Id"], max(0.0, limit - time.monotonic()))
        if readiness.ready:
            healthy.append(name)
        elif _is_finished(docker, raw["Id"]):
            finished.append(name)
        else:
            problems.append(f"container {name} {readiness.problem}")
    if not healthy and not finished and not problems:
        problems.append(f"{project.file} made no container")
    return dataclasses.replace(
        project,
        healthy=tuple(sorted(healthy)),
        finished=tuple(sorted(finished)),
        problems=tuple(problems),
    )


def _is_finished(docker: DockerClient, identity: str) -> bool:
    """Whether a container ended well and is meant to stay so."""
    try:
        raw = docker.inspect(identity)
    except NoSuchContainer:
        return False
    state, policy = raw["State"], raw["HostConfig"]["RestartPolicy"]["Name"]
    ended_well = state["Status"] == "exited" and state["ExitCode"] == 0
    return ended_well and policy not in KEEP_RUNNING_POLICIES


def _containers(docker: DockerClient, project: Project) -> List[Dict[str, Any]]:
    return [
        raw
        for raw in docker.inspect_all()
        if (raw["Config"].get("Labels") or {}).get(WORKING_DIRECTORY_LABEL) == project.directory
    ]
