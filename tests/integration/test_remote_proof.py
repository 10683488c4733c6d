# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a remote is found and named before anything is trusted to it."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import subprocess
import time
from pathlib import Path

import pytest
from integration.remote_support import CAPABILITIES, RCLONE, Remote, needs_rclone, write_tree

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.bucket.layout import Amount
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest
from ansible_collections.lepotato.backup.plugins.module_utils.points.count import (
    newest_seal,
    prove_count,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.model import (
    ManifestReference,
    Seal,
    manifest_path,
    rfc3339,
    seal_path,
)
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.remote_proof import prove_auth

pytestmark = needs_rclone

POINT = "20261122T020000Z"


def fail(remote: Remote) -> str:
    with pytest.raises(BackupError) as caught:
        prove_auth(remote.read(), remote.rclone(), remote.read().client(attempts=1))
    text = str(caught.value)
    assert remote.key.application_key not in text + repr(caught.value)
    return text


def put_something(remote: Remote) -> Rclone:
    rclone = remote.rclone()
    rclone.rcat(b"x", rclone.crypt("points/x.json"))
    return rclone


# The key, the bucket and the prefix


def test_first_run_on_an_empty_prefix(remote: Remote) -> None:
    proof = prove_auth(remote.read(), remote.rclone())
    assert (proof.bucket, proof.prefix) == (remote.bucket, "potato")
    assert set(proof.capabilities) == set(CAPABILITIES)
    assert proof.empty
    assert not proof.passwords_proven
    assert proof.warnings == ()
    assert proof.clock_skew_seconds is not None
    assert abs(proof.clock_skew_seconds) < 5


def test_with_backups_the_passwords_are_proven_too(remote: Remote) -> None:
    put_something(remote)
    proof = prove_auth(remote.read(), remote.rclone())
    assert (proof.empty, proof.passwords_proven) == (False, True)
    assert not prove_auth(remote.read(), None).passwords_proven


def test_wrong_key(remote: Remote) -> None:
    remote.write_conf(key=remote.key._replace(application_key="K002wrong"))
    text = fail(remote)
    assert "lepotato_backup_b2_key_id and lepotato_backup_b2_key" in text
    assert "K002wrong" not in text


def test_revoked_key(remote: Remote) -> None:
    remote.b2.delete_key(remote.key)
    assert "wrong, expired or revoked" in fail(remote)


def test_wrong_bucket(remote: Remote) -> None:
    remote.write_conf(bucket="not-my-bucket")
    text = fail(remote)
    assert f"restricted to '{remote.bucket}'" in text
    assert "lepotato_backup_bucket" in text


def test_bucket_that_is_not_there(remote: Remote) -> None:
    key = remote.make_key((*CAPABILITIES, "listBuckets", "writeBuckets"), None, None)
    remote.write_conf(key=key, bucket="not-my-bucket")
    text = fail(remote)
    assert "no bucket of that name" in text
    assert "lepotato_backup_bucket" in text


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_missing_capability(remote: Remote, missing: str) -> None:
    remote.write_conf(key=remote.make_key([name for name in CAPABILITIES if name != missing]))
    assert f"lacks {missing}." in fail(remote)


def test_key_for_another_prefix(remote: Remote) -> None:
    remote.write_conf(key=remote.make_key(prefix="other/"))
    text = fail(remote)
    assert "prefix 'other/'" in text
    assert "lepotato_backup_host_prefix" in text


@pytest.mark.parametrize("prefix", ["potato/", "potato", "pot", None])
def test_key_for_this_prefix_or_more(remote: Remote, prefix: str | None) -> None:
    remote.write_conf(key=remote.make_key(prefix=prefix))
    put_something(remote)
    assert prove_auth(remote.read(), remote.rclone()).passwords_proven


def test_unrestricted_key_is_one_that_rclone_cannot_upload_with(remote: Remote) -> None:
    remote.write_conf(key=remote.make_key((*CAPABILITIES, "listBuckets"), None, None))
    assert "not restricted to a bucket" in fail(remote)
    with pytest.raises(BackupError):
        put_something(remote)


def test_a_key_that_can_destroy_the_backups_is_a_warning(remote: Remote) -> None:
    remote.write_conf(key=remote.make_key((*CAPABILITIES, "deleteFiles")))
    (warning,) = prove_auth(remote.read(), remote.rclone()).warnings
    assert "deleteFiles" in warning
    assert "whoever takes over this host can destroy its backups" in warning
    assert "lepotato_backup_b2_key_id" in warning


def test_master_key_is_two_warnings(remote: Remote) -> None:
    remote.write_conf(key=remote.b2.master_key)
    first, second = prove_auth(remote.read(), remote.rclone()).warnings
    for capability in ("deleteFiles", "writeBuckets", "bypassGovernance"):
        assert capability in first
    assert "every bucket" in second


def test_key_that_expires_soon_is_a_warning(remote: Remote) -> None:
    remote.write_conf(key=remote.make_key(expires=3 * 24 * 3600 + 3600))
    (warning,) = prove_auth(remote.read(), remote.rclone()).warnings
    assert "expires in 3 days" in warning


def test_unreachable(remote: Remote) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    remote.write_conf(endpoint=f"http://127.0.0.1:{port}")
    text = fail(remote)
    assert f"can't be reached at http://127.0.0.1:{port}" in text
    assert "lepotato_backup_b2_endpoint" in text


def test_b2_in_trouble(remote: Remote) -> None:
    remote.b2.fault("service_unavailable", "b2_authorize_account", count=0)
    assert "try again later" in fail(remote)


def test_proof_costs_two_calls_when_there_is_nothing_yet(remote: Remote) -> None:
    remote.b2.reset_stats()
    prove_auth(remote.read(), remote.rclone())
    assert remote.b2.stats()["calls_total"] == 2


# The passwords


@pytest.mark.parametrize("wrong", ["password", "password2"])
def test_wrong_password_over_an_existing_prefix(remote: Remote, wrong: str) -> None:
    put_something(remote)
    remote.write_conf(**{wrong: "other"})
    text = fail(remote)
    assert "lepotato_backup_password and lepotato_backup_password2 do not decrypt" in text
    assert f"'{remote.bucket}/potato/'" in text
    assert "lepotato_backup_host_prefix" in text


def test_rclone_without_strict_names_is_seen_through(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the distribution's rclone 1.60 does: leaves the names out and exits 0.
    put_something(remote)
    remote.write_conf(password="other")
    rclone = remote.rclone()
    monkeypatch.setattr(rclone, "check_names", lambda **_options: rclone.names(rclone.crypt()))
    with pytest.raises(BackupError, match="do not decrypt"):
        prove_auth(remote.read(), rclone)


def test_other_hosts_in_the_bucket_do_not_matter(remote: Remote) -> None:
    put_something(remote)
    conf = remote.conf(key=remote.make_key(prefix="tomato/"), password="theirs")
    remote.conf_path.write_text(conf.replace("/potato", "/tomato"), encoding="utf-8")
    assert prove_auth(remote.read(), remote.rclone()).empty


# What was sealed against what is there


def seal_a_night(remote: Remote, root: Path) -> Seal:
    """A night as the program seals it; B2's clock then stands two minutes later."""
    rclone = remote.rclone()
    staged = write_tree(
        root / "daily",
        {f"docker-volumes/v/{n:02d}": b"x" * n for n in range(20)}
        | {f"pihole-config/etc/{n:02d}": b"y" * 10 for n in range(5)},
    )
    manifest = root / "manifest.jsonl.gz"
    write_manifest(staged, manifest)
    rclone.sync(str(staged), rclone.crypt("daily"))
    rclone.copyto(str(manifest), rclone.crypt(manifest_path(POINT)))
    remote.b2.advance_clock(60)
    seal = Seal(
        id=POINT,
        host="potato",
        started_at=rfc3339(time.time()),
        sealed_at=rfc3339(time.time()),
        version_at=rfc3339(remote.b2.now()),
        manifest=ManifestReference(
            manifest_path(POINT),
            hashlib.sha256(manifest.read_bytes()).hexdigest(),
            manifest.stat().st_size,
        ),
        trees={"docker-volumes": Amount(20, 190), "pihole-config": Amount(5, 50)},
        upload=Amount(25, 240),
    )
    rclone.rcat(seal.to_json().encode(), rclone.crypt(seal_path(POINT)))
    remote.b2.advance_clock(60)
    return seal


def names_in_the_bucket(remote: Remote, names: list[str]) -> list[str]:
    """What objects of these plain names are called in the bucket."""
    shown = subprocess.run(
        [RCLONE, "--config", remote.conf_path, "cryptdecode", "--reverse", "b2-encrypted:", *names],
        capture_output=True,
        check=True,
        text=True,
    )
    return [f"potato/{line.split()[-1]}" for line in shown.stdout.splitlines()]


def test_a_whole_night_counts(remote: Remote, tmp_path: Path) -> None:
    seal = seal_a_night(remote, tmp_path)
    rclone = remote.rclone()
    assert newest_seal(rclone) == seal
    proof = prove_count(rclone, str(tmp_path))
    assert (proof.point, proof.sealed, proof.found) == (POINT, Amount(25, 240), Amount(25, 240))


def test_no_seal(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="holds no sealed night") as caught:
        prove_count(remote.rclone())
    assert "backup-to-b2.sh" in caught.value.hint


def test_what_is_missing_is_named(remote: Remote, tmp_path: Path) -> None:
    seal_a_night(remote, tmp_path)
    rclone = remote.rclone()
    gone = ["docker-volumes/v/03", "pihole-config/etc/01", "pihole-config/etc/02"]
    for name in names_in_the_bucket(remote, [f"daily/{name}" for name in gone]):
        remote.b2.damage(remote.bucket, name, kind="vanish")
    with pytest.raises(BackupError) as caught:
        prove_count(rclone, str(tmp_path))
    text = str(caught.value)
    assert "sealed with 25 objects of 240 bytes" in text
    assert "holds 22 objects of 217 bytes" in text
    assert "1 from docker-volumes, 2 from pihole-config" in text
    assert "docker-volumes/v/03, pihole-config/etc/01, pihole-config/etc/02" in text


def test_a_later_night_that_broke_off_does_not_matter(remote: Remote, tmp_path: Path) -> None:
    seal_a_night(remote, tmp_path)
    rclone = remote.rclone()
    (tmp_path / "daily/docker-volumes/v/03").unlink()
    write_tree(tmp_path / "daily", {"docker-volumes/v/new": b"new", "docker-volumes/v/04": b"!"})
    rclone.sync(str(tmp_path / "daily"), rclone.crypt("daily"))
    assert prove_count(rclone, str(tmp_path)).found == Amount(25, 240)


def test_a_seal_that_says_more_than_its_manifest(remote: Remote, tmp_path: Path) -> None:
    seal = seal_a_night(remote, tmp_path)
    rclone = remote.rclone()
    wrong = dataclasses.replace(seal, upload=Amount(25, 999))
    rclone.rcat(wrong.to_json().encode(), rclone.crypt(seal_path(POINT)))
    with pytest.raises(BackupError, match="every name is there, but sizes differ"):
        prove_count(rclone, str(tmp_path))
