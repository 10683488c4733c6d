# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture over real containers in every state that Docker knows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from integration.container_lab import (
    DRIVER_TIMEOUT_SECONDS,
    IDLE,
    Lab,
    docker,
    failure,
    go_on,
    needed_image,
    night,
    pause_at,
    tree_difference,
)
from integration.waits import wait_for


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab", needed_image()) as lab:
        yield lab


def started_at(lab: Lab, short: str) -> str:
    return str(lab.inspect(short)["State"]["StartedAt"])


def test_each_kind_of_container_is_as_it_was_and_only_those_that_may_be_were_stopped(
    lab: Lab,
) -> None:
    lab.run("plain", "--restart", "unless-stopped")
    lab.run("remove", "--rm")
    lab.run("paused")
    lab.run("off")
    lab.run("reader", "-v", f"{lab.volumes}/plain:/look:ro", volume="../../elsewhere")
    lab.run("loop", "--restart", "always", command="exit 3")
    docker("pause", lab.name("paused"))
    docker("kill", lab.name("off"))
    wait_for(lambda: lab.states()["loop"] == "restarting", "the loop restarts")
    began = {short: started_at(lab, short) for short in lab.states()}

    result = night(lab)["capture"]

    after = lab.states()
    assert after.pop("loop") in ("restarting", "running")
    assert after == {
        "plain": "running",
        "remove": "running",
        "paused": "paused",
        "off": "exited",
        "reader": "running",
    }
    stopped = {name for group in result["groups"] for name in group["stop_order"]}
    assert stopped == {lab.name("plain"), lab.name("loop")}
    for short in ("remove", "paused", "off", "reader"):
        assert started_at(lab, short) == began[short]
    assert result["kept"] == {
        lab.name("remove"): "it was started with --rm, and stopping it would remove it",
        lab.name("paused"): "it is paused and stays so",
    }
    (warning,) = result["warnings"]
    assert warning.startswith(f"{lab.name('remove')} is copied while it runs: ")
    assert lab.inspect("plain")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_container_that_does_not_come_back_is_told_with_its_log_and_the_others_run(
    lab: Lab,
) -> None:
    second_start = "test -e /data/once && {{ echo 'rows are bad'; {0}; }}; touch /data/once; "
    lab.run("ends", command=second_start.format("exit 4") + IDLE, service="ends")
    lab.run(
        "sick",
        "--health-cmd=test ! -e /data/sick",
        command=second_start.format("touch /data/sick") + IDLE,
    )
    lab.run("app", service="app", depends_on="ends:service_started:false")
    lab.run("well")
    for short in ("ends", "sick"):
        once = lab.volumes / short / "once"
        wait_for(once.exists, f"first start of {short}")

    # Waited for in vain by one of them; long enough for the others on a busy machine.
    done = lab.drive("--capture", config=lab.config(start_timeout_seconds=10))

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["capture"]
    assert sorted(result["not_back"]) == sorted([lab.name("ends"), lab.name("sick")])
    told = "\n".join(result["warnings"])
    # It may have been seen running for a moment.
    assert re.search(rf"container {lab.name('ends')} .* \(exit code 4\)", told)
    assert f"container {lab.name('sick')} did not come back: it is not healthy" in told
    assert told.count("rows are bad") == 2
    assert lab.states() == {
        "ends": "exited",
        "sick": "running",
        "app": "running",
        "well": "running",
    }
    assert tree_difference(lab.volumes / "well", lab.staged(lab.volumes) / "well") == []
    assert not lab.stopped_file.exists()


def test_a_container_that_was_unhealthy_before_is_not_asked_to_be_healthy_after(lab: Lab) -> None:
    lab.run("red", "--health-cmd=false", "--health-interval=1s", "--health-retries=1")

    def status() -> str:
        return str(lab.inspect("red")["State"]["Health"]["Status"])

    wait_for(lambda: status() == "unhealthy", "the red check")
    (lab.volumes / "red/rows").write_text("good\n")

    # Waiting for its health would outlast the driver.
    limit = int(2 * DRIVER_TIMEOUT_SECONDS)
    done = lab.drive("--capture", config=lab.config(start_timeout_seconds=limit))

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["capture"]
    assert (result["not_back"], result["warnings"]) == ([], [])
    assert lab.states() == {"red": "running"}
    assert (lab.staged(lab.volumes) / "red/rows").read_text() == "good\n"
    assert not lab.stopped_file.exists()


def test_a_dump_that_fails_stops_no_service_and_keeps_the_last_dump(lab: Lab) -> None:
    lab.run("db")
    dump = {"container": lab.name("db"), "kind": "command", "command": ["cat", "/data/rows"]}
    (lab.volumes / "db/rows").write_text("good\n")
    night(lab, config=lab.config(dumps=[dump]))
    (lab.volumes / "db/rows").unlink()
    began = started_at(lab, "db")

    done = lab.drive("--capture", config=lab.config(dumps=[dump]))

    assert done.returncode == 1
    error = failure(done)
    assert f"the command dump of container {lab.name('db')} failed: exit code 1" in error
    assert "No such file" in error
    assert started_at(lab, "db") == began
    staged = lab.daily / "dumps" / lab.name("db") / "command.out"
    assert staged.read_text() == "good\n"


def test_a_cold_pass_that_fails_starts_the_group_and_fails_the_night(lab: Lab) -> None:
    lab.run("db", command=IDLE.replace("exit 0", "echo stopped > /data/state; exit 0"))
    lab.run("later")
    night(lab)
    # What the container writes when it stops can't be copied: the staged file is immutable.
    staged = lab.staged(lab.volumes / "db/state")
    began = started_at(lab, "later")
    subprocess.run(["chattr", "+i", str(staged)], check=True)
    try:
        done = lab.drive("--capture")
    finally:
        subprocess.run(["chattr", "-i", str(staged)], check=True)
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer["capture"]["failed_groups"]) == [lab.name("db")]
    assert "Operation not permitted" in failure(done)
    assert lab.states() == {"db": "running", "later": "running"}
    assert started_at(lab, "later") == began, "the night was lost: no need to stop it"


def test_a_container_that_comes_up_during_the_cold_pass_fails_the_night(lab: Lab) -> None:
    lab.run("db", service="db")
    lab.run("app", service="app", depends_on="db:service_started:false")
    process = pause_at(lab, "cold")
    docker("start", lab.name("app"))
    done = go_on(process)
    assert done.returncode == 1, done.stderr
    assert f"container {lab.name('app')} came up by itself" in failure(done)
    assert lab.states() == {"db": "running", "app": "running"}


def test_a_container_that_was_created_anew_is_found_and_a_removed_one_is_told(lab: Lab) -> None:
    lab.run("db", service="db")
    lab.run("old", service="app", depends_on="db:service_started:false")
    lab.run("gone")
    done = lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGKILL)))
    assert lab.states() == {"db": "exited", "old": "exited", "gone": "running"}, done.stderr
    docker("rm", lab.name("old"))
    docker("rm", "-f", lab.name("gone"))
    docker(
        *("create", "--name", lab.name("new"), "--network", "none"),
        *("--label", f"lpb-lab={lab.prefix}"),
        *("--label", f"com.docker.compose.project={lab.prefix}"),
        *("--label", "com.docker.compose.service=app"),
        *("--label", "com.docker.compose.container-number=1"),
        *(lab.image, "sh", "-c", IDLE),
    )

    recovered = json.loads(lab.drive("--recover").stdout)["recovered"]

    assert recovered["started"] == [lab.name("db"), lab.name("old")]
    assert recovered["gone"] == []
    assert lab.states() == {"db": "running", "new": "running"}

    lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGKILL)))
    docker("rm", lab.name("db"))
    recovered = json.loads(lab.drive("--recover").stdout)["recovered"]
    assert recovered["gone"] == [lab.name("db")]
    assert "does not exist any more" in recovered["warnings"][0]
    assert not lab.stopped_file.exists()


def test_a_second_signal_does_not_break_off_the_starting(lab: Lab) -> None:
    lab.run("db", service="db")
    lab.run("app", service="app", depends_on="db:service_started:false")
    again = [f for number in ("1", "2") for f in ("--at", "start", number, str(int(signal.SIGINT)))]
    done = lab.drive("--capture", "--at", "cold", "1", str(int(signal.SIGTERM)), *again)
    assert done.returncode == 1
    assert lab.states() == {"db": "running", "app": "running"}, done.stderr
    assert not lab.stopped_file.exists()


def test_a_container_that_must_be_killed_is_told(lab: Lab) -> None:
    lab.run("deaf", command='trap "" TERM; while :; do sleep 0.05; done')
    result = night(lab, config=lab.config(stop_timeouts={lab.name("deaf"): 1}))["capture"]
    assert "did not stop within 1 s and was killed" in result["warnings"][0]
    assert lab.states() == {"deaf": "running"}


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(lab: Lab) -> None:
    lab.run("db")
    (lab.volumes / "db/rows").write_text("1")
    began = started_at(lab, "db")
    state_before = sorted(os.listdir(lab.directory / "state"))
    done = lab.drive("--capture", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would stop {lab.name('db')}" in done.stderr
    result = json.loads(done.stdout)["capture"]
    assert result["trees"]["docker-volumes"]["files_transferred"] == 1
    assert started_at(lab, "db") == began
    assert not lab.daily.exists()
    assert sorted(os.listdir(lab.directory / "state")) == state_before


def test_the_order_follows_dependencies_and_groups_are_down_one_after_the_other(
    lab: Lab,
) -> None:
    lab.run("db", "--health-cmd=test -e /data/ready", command="touch /data/ready; " + IDLE)
    lab.run("app", network=f"container:{lab.name('db')}")
    lab.run("web")
    result = night(lab)["capture"]
    first, second = result["groups"]
    assert first["stop_order"] == [lab.name("app"), lab.name("db")]
    assert first["start_order"] == [lab.name("db"), lab.name("app")]
    assert second["stop_order"] == [lab.name("web")]
    assert set(first["down_seconds"]) == {lab.name("app"), lab.name("db")}
    assert lab.states() == {"db": "running", "app": "running", "web": "running"}


def run_module(lab: Lab, check: bool = False, **arguments: Any) -> Dict[str, Any]:
    """Run the module as Ansible does, with its arguments on standard input."""
    path = lab.directory / "module-config.json"
    path.write_text(json.dumps(lab.config()))
    done = subprocess.run(
        [sys.executable, "-m"]
        + ["ansible_collections.lepotato.backup.plugins.modules.container_sequence"],
        input=json.dumps(
            {
                "ANSIBLE_MODULE_ARGS": {
                    **arguments,
                    "config": str(path),
                    "_ansible_check_mode": check,
                    "_ansible_remote_tmp": str(lab.directory),
                }
            }
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=DRIVER_TIMEOUT_SECONDS,
    )
    answer: Dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_module_stops_and_starts_the_same_containers(lab: Lab) -> None:
    lab.run("db", service="db")
    lab.run("app", service="app", depends_on="db:service_started:false")
    lab.run("reader", "-v", f"{lab.volumes}/db:/look:ro", volume="../../elsewhere")
    everything = {"db": "running", "app": "running", "reader": "running"}

    planned = run_module(lab, check=True, state="stopped")
    assert planned["changed"]
    assert lab.states() == everything
    assert not lab.stopped_file.exists()

    stopped = run_module(lab, state="stopped")
    assert [item["name"] for item in stopped["containers"]] == [lab.name("app"), lab.name("db")]
    assert stopped["containers"] == planned["containers"]
    assert stopped["diff"]["after"] == f"{lab.name('app')}: stopped\n{lab.name('db')}: stopped\n"
    assert lab.states() == {"db": "exited", "app": "exited", "reader": "running"}
    assert not run_module(lab, state="stopped")["changed"]

    assert run_module(lab, check=True, state="started")["changed"]
    started = run_module(lab, state="started")
    assert [item["name"] for item in started["containers"]] == [lab.name("db"), lab.name("app")]
    assert all(item["ready"] and item["down_seconds"] > 0 for item in started["containers"])
    assert lab.states() == everything
    assert not run_module(lab, state="started")["changed"]

    with_reader = run_module(lab, state="stopped", readers=True, paths=[str(lab.volumes / "db")])
    assert {item["name"] for item in with_reader["containers"]} == {
        lab.name("db"),
        lab.name("app"),
        lab.name("reader"),
    }
    # The playbook dies here: a recovery at boot or at night finishes the job.
    assert lab.drive("--recover").returncode == 0
    assert lab.states() == everything
