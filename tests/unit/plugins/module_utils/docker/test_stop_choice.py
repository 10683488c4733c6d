# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stopped, in which groups and in which order, from recorded inspect output."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.capture.plan import (
    group_paths,
    plan_from,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    Containers,
    Source,
    parse_config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.docker.container import (
    Container,
    Mount,
    read_containers,
)
from ansible_collections.lepotato.backup.plugins.module_utils.docker.groups import (
    dependencies,
    stop_order,
)
from ansible_collections.lepotato.backup.plugins.module_utils.docker.labels import (
    Labels,
    read_labels,
)
from ansible_collections.lepotato.backup.plugins.module_utils.docker.stop_choice import (
    own_container_id,
    select,
    stop_timeout_seconds,
)

FIXTURES = Path(__file__).with_name("fixtures")
VOLUMES = "/mnt/ssd/docker/volumes"


def recorded(generation: str) -> List[Container]:
    raw = json.loads((FIXTURES / f"compose_{generation}.json").read_text())
    return read_containers(raw["containers"], raw["volumes"])


def box(name: str, *paths: str, **changes: Any) -> Container:
    """A running container that writes to *paths*."""
    return dataclasses.replace(
        Container(
            id=name.ljust(64, "0"),
            name=name,
            status="running",
            created="2026-01-01T00:00:00Z",
            started_at="2026-01-01T00:00:00Z",
            labels=Labels(),
            mounts=tuple(Mount((path,), f"/at{path}", True) for path in paths),
        ),
        **changes,
    )


def config_with(**containers: Any) -> Config:
    return parse_config(
        {
            "host": "potato",
            "bucket": "b",
            "host_prefix": "p",
            "sources": [{"tree": "docker-volumes", "paths": [VOLUMES]}],
            "containers": containers,
        }
    )


def planned(
    containers: Sequence[Container], config: Config, paths: Sequence[str] = (VOLUMES,)
) -> List[Tuple[str, List[str]]]:
    """The groups with their members in stop order."""
    plan = plan_from(config, select(containers, config.containers, paths), paths)
    return [(group.name, [member.name for member in group.members]) for group in plan.groups]


def test_compose_v2_is_grouped_and_ordered_by_its_labels() -> None:
    assert planned(recorded("v2"), config_with()) == [
        ("home-db-1", ["home-sidecar-1", "home-app-1", "home-db-1"])
    ]


@pytest.mark.parametrize(
    ("compose_file", "groups"),
    [
        pytest.param(
            "services:\n  app:\n    depends_on:\n      db: {condition: service_healthy}\n  db: \n",
            [("home_db_1", ["home_sidecar_1", "home_app_1", "home_db_1"])],
            id="read from its file",
        ),
        pytest.param(
            "services:\n  app:\n    image: x\n  db:\n    image: y\n",
            [("home_app_1", ["home_sidecar_1", "home_app_1"]), ("home_db_1", ["home_db_1"])],
            id="its file says that they don't depend: the shared network connects two",
        ),
        pytest.param(
            None,
            [("home_app_1", ["home_sidecar_1", "home_db_1", "home_app_1"])],
            id="no file to read: the whole project, the application's priority label of 5 last",
        ),
    ],
)
def test_docker_compose_1_is_grouped_by_its_file(
    tmp_path: Path, compose_file: Optional[str], groups: List[Tuple[str, List[str]]]
) -> None:
    raw = json.loads((FIXTURES / "compose_1.29.json").read_text())
    for container in raw["containers"]:
        labels = container["Config"]["Labels"]
        assert "com.docker.compose.depends_on" not in labels
        labels["com.docker.compose.project.working_dir"] = str(tmp_path)
    if compose_file is not None:
        (tmp_path / "docker-compose.yml").write_text(compose_file)
    assert planned(read_containers(raw["containers"], raw["volumes"]), config_with()) == groups


def test_a_volume_that_is_bound_to_a_directory_is_known_by_that_directory() -> None:
    app = next(item for item in recorded("1.29") if item.service == "app")
    volume = next(mount for mount in app.mounts if mount.destination == "/data")
    assert volume.sources == ("/var/lib/docker/volumes/home_appdata/_data", f"{VOLUMES}/app")
    assert group_paths([app], [Source("docker-volumes", (VOLUMES,))]) == {
        "docker-volumes": (f"{VOLUMES}/app",)
    }


def test_the_stop_time_out_is_the_nearest_one_given() -> None:
    database = next(item for item in recorded("v2") if item.service == "db")
    app = next(item for item in recorded("v2") if item.service == "app")
    assert stop_timeout_seconds(database, Containers()) == 60  # stop_grace_period in its file
    assert stop_timeout_seconds(app, Containers()) == 30
    labelled = dataclasses.replace(database, labels=Labels(stop_timeout_seconds=90))
    assert stop_timeout_seconds(labelled, Containers()) == 90
    assert stop_timeout_seconds(labelled, Containers(stop_timeouts={"home/db": 7})) == 7


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("home-db-1", ["home-sidecar-1", "home-app-1", "home-db-1"])]),
        # What needs the excluded one's dependency is stopped with the dependency.
        ({"exclude": ["home/sidecar"]}, [("home-db-1", ["home-app-1", "home-db-1"])]),
        ({"never_stop": ["home-db-1"]}, [("home-app-1", ["home-sidecar-1", "home-app-1"])]),
        # Named groups stay apart.
        (
            {"groups": {"home/db": "data", "home/app": "web"}, "priorities": {"home/db": 9}},
            [("web", ["home-sidecar-1", "home-app-1"]), ("data", ["home-db-1"])],
        ),
    ],
)
def test_configuration_changes_what_is_stopped_and_how(
    settings: Dict[str, Any], expected: List[Tuple[str, List[str]]]
) -> None:
    assert planned(recorded("v2"), config_with(**settings)) == expected


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param(
            [box("a", f"{VOLUMES}/a"), box("b", f"{VOLUMES}/b")],
            [("a", ["a"]), ("b", ["b"])],
            id="nothing shared: each by itself",
        ),
        pytest.param(
            [
                box("a", f"{VOLUMES}/x", created="2026-01-01T00:00:01Z"),
                box("b", f"{VOLUMES}/x/sub", created="2026-01-01T00:00:02Z"),
            ],
            [("a", ["b", "a"])],
            id="a mount inside another's: together, the younger stops first",
        ),
        pytest.param(
            [box("a", "/srv/shared", f"{VOLUMES}/a"), box("b", "/srv/shared", f"{VOLUMES}/b")],
            [("a", ["a"]), ("b", ["b"])],
            id="what is shared outside the sources connects nothing",
        ),
        pytest.param(
            [box("all", "/mnt/ssd")], [("all", ["all"])], id="a mount above the source counts"
        ),
        pytest.param([box("beside", f"{VOLUMES}-old")], [], id="a name that only begins alike"),
        pytest.param(
            [
                box("off", f"{VOLUMES}/a", status="exited"),
                box("p", f"{VOLUMES}/p", status="paused"),
            ],
            [],
            id="what does not run is left alone",
        ),
        pytest.param(
            [box("rm", f"{VOLUMES}/a", removed_on_stop=True)], [], id="--rm is never stopped"
        ),
        pytest.param(
            [
                box("db", f"{VOLUMES}/db"),
                box("app", needs_containers=("db",)),
                box("proxy", needs_containers=("app",)),
            ],
            [("db", ["proxy", "app", "db"])],
            id="dependents without data are stopped with what they need",
        ),
        pytest.param(
            [
                box("one", f"{VOLUMES}/1", needs_containers=("two",)),
                box("two", f"{VOLUMES}/2", needs_containers=("one",)),
            ],
            [("two", ["one", "two"])],
            id="a circle is cut",
        ),
        pytest.param(
            [
                box("x", labels=Labels(stop="true")),
                box("y", f"{VOLUMES}/y", labels=Labels("false")),
            ],
            [("x", ["x"])],
            id="the stop label",
        ),
        pytest.param(
            [
                box("a", f"{VOLUMES}/a", labels=Labels(group="g", priority=2)),
                box("b", f"{VOLUMES}/b", labels=Labels(group="g", priority=1)),
                box("c", f"{VOLUMES}/c", labels=Labels(priority=-1)),
            ],
            [("c", ["c"]), ("g", ["b", "a"])],
            id="group and priority labels",
        ),
    ],
)
def test_groups(containers: List[Container], expected: List[Tuple[str, List[str]]]) -> None:
    assert planned(containers, config_with()) == expected


def test_readers_are_stopped_only_where_the_data_is_replaced() -> None:
    reader = box("r", mounts=(Mount((VOLUMES,), "/look", False),))
    assert select([reader], Containers(), [VOLUMES]).stop == ()
    assert select([reader], Containers(), [VOLUMES], readers_too=True).stop == (reader,)


def test_the_container_that_the_program_runs_in_is_never_stopped(tmp_path: Path) -> None:
    identity = "ab" * 32
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        f"1 2 8:1 /docker/containers/{identity}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
    )
    assert own_container_id(str(mountinfo)) == identity
    me = box("potato", VOLUMES, id=identity)
    assert select([me], Containers(), [VOLUMES], own_id=identity).stop == ()
    mountinfo.write_text("1 2 8:1 / / rw - ext4 /dev/sda rw\n")
    assert own_container_id(str(mountinfo)) == ""


def test_a_container_in_two_named_groups_by_connection_is_an_error() -> None:
    containers = [
        box("a", f"{VOLUMES}/a", labels=Labels(group="one")),
        box("b", f"{VOLUMES}/b", labels=Labels(group="two")),
        box("between", f"{VOLUMES}/a", f"{VOLUMES}/b"),
    ]
    with pytest.raises(ConfigError, match="one and two are connected by between"):
        planned(containers, config_with())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"include": ["databse"]}, r"containers.include: .* 'databse'; did you mean database\?"),
        ({"exclude": ["x/y"]}, r"containers.exclude: no container is called 'x/y'"),
        ({"never_stop": ["nope"]}, "containers.never_stop"),
        ({"groups": {"nope": "g"}}, "containers.groups"),
        ({"priorities": {"nope": 1}}, "containers.priorities"),
        ({"stop_timeouts": {"nope": 1}}, "containers.stop_timeouts"),
        ({"dumps": [{"container": "nope", "kind": "postgres"}]}, "containers.dumps"),
        (
            {"include": ["database"], "never_stop": ["database"]},
            "database is in containers.include and containers.never_stop",
        ),
    ],
)
def test_a_name_that_means_nothing_is_an_error(settings: Dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned([box("database", status="exited")], config_with(**settings))


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        ("lepotato.backup.grup", "x", r"db: label lepotato.backup.grup .*lepotato.backup.group\?"),
        ("lepotato.backup", "x", "is not known"),
        ("lepotato.backup.stop", "ture", "must be one of true, false, never, not 'ture'"),
        ("lepotato.backup.priority", "first", "must be a whole number, not 'first'"),
        ("lepotato.backup.stop-timeout", "0", "1 or more, not '0'"),
        ("lepotato.backup.stop-timeout", "10s", "not '10s'"),
        ("lepotato.backup.group", " ", "must be a name"),
        ("lepotato.backup.dump", "oracle", "must be postgres"),
        ("lepotato.backup.dump", "sqlite:relative.db", "must be postgres"),
        ("lepotato.backup.dump", "command:", "must be postgres"),
    ],
)
def test_a_wrong_label_is_an_error_that_names_it(label: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_labels("db", {label: value})


def test_labels_say_what_they_say() -> None:
    labels = read_labels(
        "db",
        {
            "lepotato.backup.stop": "Never",
            "lepotato.backup.group": "data",
            "lepotato.backup.priority": "-3",
            "lepotato.backup.stop-timeout": "90",
            "lepotato.backup.dump": "postgres:shop",
            "org.opencontainers.image.title": "x",
        },
    )
    assert (labels.stop, labels.group, labels.priority) == ("never", "data", -3)
    assert labels.stop_timeout_seconds == 90
    assert labels.dump is not None
    assert (labels.dump.kind, labels.dump.database) == ("postgres", "shop")


def test_a_dump_of_what_does_not_run_is_left_out_with_a_warning() -> None:
    down = box("db", status="exited")
    config = config_with(dumps=[{"container": "db", "kind": "postgres"}])
    selection = select([down], config.containers, [VOLUMES])
    assert selection.dumps == ()
    assert "db is not running: no dump" in selection.warnings[0]


def test_one_off_containers_serve_nobody() -> None:
    oneoff = box("run", project="p", service="db", oneoff=True)
    app = box("app", project="p", service="app", needs_services=("db",))
    assert dependencies([oneoff, app])[app.id] == set()


def test_stop_order_is_the_same_in_any_input_order() -> None:
    containers = [box(name, created=f"2026-01-0{day}") for day, name in enumerate("abcd", 1)]
    needs = {containers[3].id: {containers[0].id}}
    first = stop_order(containers, needs, {})
    assert stop_order(list(reversed(containers)), needs, {}) == first
    assert [item.name for item in first] == ["d", "c", "b", "a"]
