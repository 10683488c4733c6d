# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board as site.yml leaves it, and a night and a restore on it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.images import services
from tools.lab.inventory import secret_values
from tools.lab.lab import bucket_names
from tools.lab.names import LabNames
from tools.lab.night import (
    back_up,
    differences,
    restore,
    rows_of_restored,
    sealed_nights,
    watch_downtime,
)
from tools.lab.services import CHECKSUM_QUERY, SERVICES, psql
from tools.rclone_binaries import VERSION, sha256

NAMES = LabNames("default")
# Docker directly: through Ansible each question would cost an emulated module run.
testinfra_hosts = [f"docker://{NAMES.potato}"]
Host = Any  # testinfra has no type information


@pytest.mark.parametrize("package", ["rsync", "cron", "logrotate"])
def test_packages_are_installed(host: Host, package: str) -> None:
    assert host.package(package).is_installed


def test_the_board_is_an_arm64_one(host: Host) -> None:
    assert host.check_output("uname -m") == "aarch64"


def test_rclone_is_the_pinned_one(host: Host) -> None:
    program = host.file("/usr/local/bin/rclone")
    assert program.mode == 0o755
    assert program.sha256sum == sha256("arm64")
    assert host.check_output("rclone version").startswith(f"rclone v{VERSION}")


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc/lepotato-backup", 0o700),
        ("/etc/lepotato-backup/config.json", 0o600),
        ("/etc/lepotato-backup/rclone.conf", 0o600),
        ("/etc/cron.d/lepotato-backup", 0o644),
        ("/etc/logrotate.d/lepotato-backup", 0o644),
        ("/opt/backup/scripts/backup-to-b2.sh", 0o755),
        ("/opt/backup/scripts/restore-from-b2.sh", 0o755),
        ("/usr/local/bin/lepotato-backup", 0o755),
        ("/var/lib/lepotato-backup", 0o700),
        (f"{NAMES.ssd}/backup-staging", 0o700),
        (f"{NAMES.ssd}/backup-staging/daily", 0o700),
        (f"{NAMES.ssd}/backup-staging/weekly", 0o700),
        (f"{NAMES.ssd}/logs", 0o755),
    ],
)
def test_files_are_root_s_with_their_modes(host: Host, path: str, mode: int) -> None:
    found = host.file(path)
    assert found.exists
    assert (found.user, found.group, oct(found.mode)) == ("root", "root", oct(mode))


def test_no_secret_is_readable_by_others(host: Host) -> None:
    patterns = " ".join(f"-e {secret}" for secret in secret_values(NAMES))
    readable = host.run(
        f"find /etc /opt /usr/local /var /root {NAMES.ssd}/logs -xdev -type f -perm /044"
        f" -exec grep -lF {patterns} {{}} +"
    )
    assert readable.stdout == ""


def test_remotes_are_b2_and_crypt_over_it(host: Host) -> None:
    told = host.check_output("rclone --config /etc/lepotato-backup/rclone.conf config redacted")
    assert "[b2-backup]" in told
    assert "type = b2" in told
    assert "[b2-encrypted]" in told
    assert "type = crypt" in told
    assert "remote = b2-backup:lepotato-lab/lepotato" in told


def test_cron_runs_the_script_at_two(host: Host) -> None:
    lines = host.file("/etc/cron.d/lepotato-backup").content_string.splitlines()
    (job,) = [line for line in lines if "backup-to-b2.sh" in line]
    assert job.startswith("0 2 * * * root /opt/backup/scripts/backup-to-b2.sh")
    assert host.service("cron").is_running
    assert host.service("cron").is_enabled


def test_boot_recovery_is_enabled(host: Host) -> None:
    units = host.check_output("systemctl list-unit-files --no-legend 'lepotato-backup*'")
    assert "enabled" in units
    # Of the whole system only ours count: on a busy machine another unit may run into its limit.
    failed = host.check_output("systemctl --failed --plain --no-legend")
    ours = [line for line in failed.splitlines() if line.startswith(("lepotato-backup", "cron."))]
    assert ours == [], failed


def test_logrotate_accepts_its_file(host: Host) -> None:
    tried = host.run("logrotate --debug /etc/logrotate.d/lepotato-backup")
    assert tried.rc == 0
    assert "error" not in tried.stderr.lower()


def test_a_dry_run_touches_nothing(host: Host) -> None:
    before = host.check_output(f"find {NAMES.ssd}/backup-staging /var/lib/lepotato-backup")
    answer = json.loads(host.check_output("/opt/backup/scripts/backup-to-b2.sh --dry-run --json"))
    assert answer["dry_run"]
    assert answer["exit_code"] == 0
    after = host.check_output(f"find {NAMES.ssd}/backup-staging /var/lib/lepotato-backup")
    locks = {line for line in after.splitlines() if line.endswith(".lock")}
    assert set(after.splitlines()) - locks == set(before.splitlines()) - locks
    assert bucket_names(NAMES) == []


def test_a_night_and_its_restore(host: Host) -> None:
    rows = psql(NAMES, "db", CHECKSUM_QUERY)
    record: dict[str, Any] = {}
    down = watch_downtime(NAMES, lambda: record.update(back_up(NAMES)))
    assert record["exit_code"] == 0
    assert record["warnings"] == []
    assert all(0 < down[service] < 30 for service in SERVICES), down
    assert sealed_nights(NAMES) == [record["point"]]
    stored = bucket_names(NAMES)
    assert stored
    assert all(name.startswith("lepotato/") and "docker" not in name for name in stored)
    log = host.file(f"{NAMES.ssd}/logs/backup-to-b2.log")
    assert oct(log.mode) == oct(0o640)
    assert not any(secret in log.content_string for secret in secret_values(NAMES))
    target = NAMES.ssd / "restored"
    assert restore(NAMES, target)["point"] == record["point"]
    assert differences(NAMES, target) == []
    assert rows_of_restored(NAMES, target, services().tag) == rows
