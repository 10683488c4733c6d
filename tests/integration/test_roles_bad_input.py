# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every wrong value a role can notice by itself: what it says, and that it changes nothing.

All cases are hosts of one run of ansible-playbook, which is this machine under many names.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from integration.ansible_runs import PlaybookRun, run_playbook

GOOD = {
    "lepotato_backup_b2_key_id": "0041a2b3c4d5e6f0000000001",
    "lepotato_backup_b2_key": "K004-the-key-itself",
    "lepotato_backup_bucket": "my-bucket",
    "lepotato_backup_password": "the first password",
    "lepotato_backup_password2": "the second password",
    "lepotato_backup_host_prefix": "potato",
    "agent_containers_enabled": False,
    # What B2 says of a key is in test_roles_bad_key.py.
    "rclone_prove": False,
}
SECOND_PASSWORD = "of the second destination"
SECRETS = (
    "K004-the-key-itself",
    "the first password",
    "the second password",
    "K004 with space",
    SECOND_PASSWORD,
)

# Facts as if they had been gathered from a board.
FACTS = {
    "architecture": "aarch64",
    "os_family": "Debian",
    "distribution": "Debian",
    "distribution_version": "12.11",
    "distribution_major_version": "12",
    "service_mgr": "systemd",
}


class Case(NamedTuple):
    """A wrong value and what must be said about it."""

    role: str
    wrong: dict[str, Any]
    said: tuple[str, ...]


def _facts(**wrong: str) -> dict[str, Any]:
    return {"case_facts": {**FACTS, **wrong}}


CASES = {
    "no-values": Case(
        "rclone",
        {name: "" for name in GOOD if name.startswith("lepotato_backup_") and "host" not in name},
        (
            "Missing or empty: lepotato_backup_b2_key_id, lepotato_backup_b2_key",
            "lepotato_backup_bucket, lepotato_backup_password, lepotato_backup_password2.",
            "group_vars/potato/vault.yml",
        ),
    ),
    "no-password2": Case(
        "rclone", {"lepotato_backup_password2": ""}, ("empty: lepotato_backup_password2. Put",)
    ),
    "null-key": Case("rclone", {"lepotato_backup_b2_key": None}, ("lepotato_backup_b2_key",)),
    "riscv": Case("rclone", _facts(architecture="riscv64"), ("riscv64", "arm64 (aarch64)")),
    "arm-32-bit": Case("rclone", _facts(architecture="armv7l"), ("armv7l", "64-bit")),
    "fedora": Case(
        "rclone",
        _facts(os_family="RedHat", distribution="Fedora", distribution_version="41"),
        ("Fedora 41", "Debian 12 and 13"),
    ),
    "debian-11": Case(
        "rclone",
        _facts(distribution_version="11.9", distribution_major_version="11"),
        ("Debian 11.9", "Debian 12 and 13"),
    ),
    "key-id-without-quotes": Case(
        "rclone",
        {"lepotato_backup_b2_key_id": 41223344},
        ("lepotato_backup_b2_key_id", "in quotes"),
    ),
    "password-without-quotes": Case(
        "rclone",
        {"lepotato_backup_password": 12345678},
        ("lepotato_backup_password and lepotato_backup_password2", "in quotes"),
    ),
    "key-id-with-space": Case(
        "rclone", {"lepotato_backup_b2_key_id": "0041a2b3 "}, ("lepotato_backup_b2_key_id must be",)
    ),
    # As "ansible-vault encrypt_string" makes it of what echo prints.
    "key-id-with-line-feed": Case(
        "rclone",
        {"lepotato_backup_b2_key_id": "0041a2b3\n"},
        ("lepotato_backup_b2_key_id must be", "line breaks"),
    ),
    "bucket-with-line-feed": Case(
        "rclone", {"lepotato_backup_bucket": "my-bucket\n"}, ("lepotato_backup_bucket must be",)
    ),
    "prefix-with-line-feed": Case(
        "rclone",
        {"lepotato_backup_host_prefix": "potato\n"},
        ("lepotato_backup_host_prefix must be",),
    ),
    "key-with-space": Case(
        "rclone",
        {"lepotato_backup_b2_key": "K004 with space"},
        ("lepotato_backup_b2_key must be in quotes",),
    ),
    "bucket-name": Case(
        "rclone", {"lepotato_backup_bucket": "my_bucket"}, ("lepotato_backup_bucket", "'my_bucket'")
    ),
    "prefix-with-slash": Case(
        "rclone",
        {"lepotato_backup_host_prefix": "/potato/"},
        ("lepotato_backup_host_prefix", "'/potato/'"),
    ),
    "endpoint": Case(
        "rclone",
        {"lepotato_backup_b2_endpoint": "b2.example.net"},
        ("lepotato_backup_b2_endpoint", "https://"),
    ),
    "password-of-two-lines": Case(
        "rclone",
        {"lepotato_backup_password": "the first password\nof two"},
        ("lepotato_backup_password", "one line each"),
    ),
    "no-sum": Case(
        "rclone",
        {"rclone_binary_sha256": {"amd64": "0" * 64}},
        ("rclone_binary_sha256 must hold", "arm64"),
    ),
    "source-unknown": Case("rclone", {"rclone_source": "snap"}, ("rclone_source", "snap")),
    "mirror-without-address": Case(
        "rclone", {"rclone_source": "mirror"}, ("rclone_mirror_url must be",)
    ),
    "file-without-name": Case("rclone", {"rclone_source": "file"}, ("rclone_file must name",)),
    "second-twice": Case(
        "rclone",
        {
            "lepotato_backup_second_path": "/mnt/usb/backup",
            "lepotato_backup_second_remote": {"type": "sftp"},
        },
        ("lepotato_backup_second_path and lepotato_backup_second_remote are both set",),
    ),
    "second-path-relative": Case(
        "rclone",
        {"lepotato_backup_second_path": "usb/../backup"},
        ("lepotato_backup_second_path must be the absolute path", "'usb/../backup'"),
    ),
    "second-without-type": Case(
        "rclone",
        {"lepotato_backup_second_remote": {"host": "nas", "pass": SECOND_PASSWORD}},
        ("lepotato_backup_second_remote must be a dictionary", "with a type"),
    ),
    "second-as-text": Case(
        "rclone",
        {"lepotato_backup_second_remote": "sftp:nas"},
        ("lepotato_backup_second_remote must be a dictionary",),
    ),
    "second-local": Case(
        "rclone",
        {"lepotato_backup_second_remote": {"type": "local"}},
        ("must not be of type local: set lepotato_backup_second_path",),
    ),
    "second-password-without-quotes": Case(
        "rclone",
        {
            "lepotato_backup_second_remote": {"type": "sftp"},
            "lepotato_backup_second_remote_passwords": {"pass": 12345678},
        },
        ("lepotato_backup_second_remote_passwords must be", "in quotes"),
    ),
    "second-remote-path": Case(
        "rclone",
        {"lepotato_backup_second_remote_path": "backup/"},
        ("lepotato_backup_second_remote_path must be a path without a '/' at its end",),
    ),
    "config-second-path": Case(
        "agent",
        {"lepotato_backup_second_path": "usb"},
        ("key 'second.path' must be an absolute path", "'usb'"),
    ),
    "ssd-relative": Case(
        "staging",
        {"lepotato_backup_ssd_mount": "mnt/ssd"},
        ("lepotato_backup_ssd_mount must be an absolute path", "'mnt/ssd'"),
    ),
    "ssd-missing": Case(
        "staging",
        {"lepotato_backup_ssd_mount": "/nonexistent/ssd"},
        ("lepotato_backup_ssd_mount (/nonexistent/ssd) does not exist",),
    ),
    "ssd-on-the-sd-card": Case(
        "staging",
        {"lepotato_backup_ssd_mount": "DIRECTORY"},
        ("lepotato_backup_ssd_mount (DIRECTORY)", "not a mounted file system", "/etc/fstab"),
    ),
    "reserve-not-a-number": Case(
        "staging", {"staging_reserve_bytes": "5 GB"}, ("staging_reserve_bytes", "int")
    ),
    "image-without-size": Case(
        "staging", {"staging_mode": "image"}, ("staging_image_bytes must be at least 67108864",)
    ),
    "staging-mode-unknown": Case(
        "staging", {"staging_mode": "file"}, ("staging_mode", "file", "directory, image")
    ),
    "no-docker": Case(
        "agent",
        {"agent_containers_enabled": True, "agent_docker_socket": "/nonexistent/docker.sock"},
        (
            "no Docker engine at agent_docker_socket (/nonexistent/docker.sock)",
            "agent_containers_enabled to false",
        ),
    ),
    "config-out-of-range": Case(
        "agent",
        {"agent_shrink_percent_max": 0},
        ("/etc/lepotato-backup/config.json: key 'guards.shrink_percent_max' must be at least 1",),
    ),
    "config-relative-source": Case(
        "agent",
        {"agent_sources": [{"tree": "etc", "paths": ["etc"]}]},
        ("key 'sources[0].paths' must hold absolute paths", "'etc'"),
    ),
    "config-unknown-key": Case(
        "agent",
        {"agent_sources": [{"tree": "etc", "path": "/etc"}]},
        ("agent_sources", "path"),
    ),
    "config-chunk-size": Case(
        "agent",
        {"agent_rclone_chunk_size": "much"},
        ("key 'rclone.chunk_size' must be like '5M', not 'much'",),
    ),
    "hour": Case("schedule", {"schedule_hour": "at two"}, ("schedule_hour", "'at two'")),
    "hour-of-no-day": Case(
        "schedule", {"schedule_hour": "24"}, ("schedule_hour (0 to 23)", "'24'")
    ),
    "minute-step-without-range": Case(
        "schedule", {"schedule_minute": "5/10"}, ("schedule_minute", "'5/10'")
    ),
    "weekday-unknown": Case(
        "schedule", {"schedule_weekday": "sunny"}, ("schedule_weekday", "'sunny'")
    ),
    "no-logs-kept": Case("schedule", {"schedule_log_days_kept": 0}, ("schedule_log_days_kept",)),
}

# Its secrets are in host_vars, each encrypted by itself.
VAULT_HOST = "good-inline-vault"

# Values that are right, though not the defaults.
GOODS: dict[str, tuple[str, dict[str, Any]]] = {
    "good-rclone": ("rclone", {}),
    VAULT_HOST: ("rclone", {}),
    "good-agent": ("agent", {}),
    "good-socket-link": (
        "agent",
        {"agent_containers_enabled": True, "agent_docker_socket": "DIRECTORY/link"},
    ),
    "good-schedule": ("schedule", {}),
    "good-cron-fields": (
        "schedule",
        {
            "schedule_minute": "*/15,7",
            "schedule_hour": "1-3,22-23/1,05",
            "schedule_weekday": "Mon-fri",
        },
    ),
    "good-number": ("schedule", {"schedule_hour": 3}),
}

TASKS: list[dict[str, Any]] = [
    {
        "name": "Take the facts as gathered",
        "ansible.builtin.set_fact": {
            "cacheable": True,
            **{f"ansible_{name}": f"{{{{ case_facts.{name} }}}}" for name in FACTS},
        },
    },
    {
        "name": "Assert what the role needs",
        "ansible.builtin.include_role": {
            "name": "lepotato.backup.{{ case_role }}",
            "tasks_from": "preflight",
        },
    },
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad-input")


@pytest.fixture(scope="module")
def run(directory: Path) -> Iterator[PlaybookRun]:
    values = {name: (case.role, case.wrong) for name, case in CASES.items()}
    hosts: dict[str, dict[str, Any]] = {}
    for name, (role, own) in {**GOODS, **values}.items():
        placed = {
            key: value.replace("DIRECTORY", str(directory)) if isinstance(value, str) else value
            for key, value in own.items()
        }
        hosts[name] = {**GOOD, **_facts(), **placed, "case_role": role}
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(directory / "docker.sock"))
        (directory / "link").symlink_to("docker.sock")
        yield run_playbook(
            directory,
            hosts,
            TASKS,
            *("--forks", "2", "--diff", "--vault-password-file", str(_inline_vault(directory))),
        )


def _inline_vault(directory: Path) -> Path:
    """Write one host's secrets as ``ansible-vault encrypt_string`` does; its password's file."""
    password = directory / "vault-password"
    password.write_text("of the vault\n")
    variables = directory / "host_vars" / f"{VAULT_HOST}.yml"
    variables.parent.mkdir()
    names = ("b2_key_id", "b2_key", "password", "password2")
    with variables.open("w") as stream:
        for name in (f"lepotato_backup_{name}" for name in names):
            subprocess.run(
                [
                    *(sys.executable, "-m", "ansible", "vault", "encrypt_string"),
                    *("--vault-password-file", str(password), "--name", name, str(GOOD[name])),
                ],
                stdout=stream,
                check=True,
            )
            stream.write("\n")
    return password


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_wrong_value_is_named_before_anything_is_changed(
    run: PlaybookRun, directory: Path, name: str
) -> None:
    failure = run.failure(name)
    for part in CASES[name].said:
        assert part.replace("DIRECTORY", str(directory)) in failure
    assert run.changed(name) == []


@pytest.mark.parametrize("name", sorted(GOODS))
def test_good_values_pass(run: PlaybookRun, name: str) -> None:
    assert run.failure(name) == ""
    assert run.changed(name) == []


def test_no_secret_is_shown(run: PlaybookRun) -> None:
    assert [secret for secret in SECRETS if secret in run.output] == []


SSD_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def ssd_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds a small ext4; only a mount namespace of a test ever mounts it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a file system")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    image = tmp_path_factory.mktemp("ssd") / "ssd.img"
    with image.open("wb") as stream:
        stream.truncate(SSD_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    return image


def test_a_reserve_larger_than_the_ssd_and_one_that_fits(ssd_image: Path, tmp_path: Path) -> None:
    mount_point = tmp_path / "ssd"
    mount_point.mkdir()
    ssd = {**GOOD, "case_role": "staging", "lepotato_backup_ssd_mount": str(mount_point)}
    hosts = {
        "too-large": {**ssd, **_facts(), "staging_reserve_bytes": 10 * SSD_BYTES},
        "fits": {**ssd, **_facts(), "staging_reserve_bytes": SSD_BYTES // 4},
    }
    mount = 'mount -o loop "$0" "$1" && shift && exec "$@"'
    launcher = ("unshare", "--mount", "sh", "-c", mount, str(ssd_image), str(mount_point))
    run = run_playbook(tmp_path, hosts, TASKS, launcher=launcher)
    if "failed to setup loop device" in run.output:
        pytest.skip("needs a loop device")
    failure = run.failure("too-large")
    assert f"staging_reserve_bytes ({10 * SSD_BYTES}) is larger than the SSD" in failure
    assert run.failure("fits") == ""
