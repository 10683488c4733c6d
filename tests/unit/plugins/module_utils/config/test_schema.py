# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Config,
    load_config,
    parse_config,
)

MINIMAL: dict[str, Any] = {
    "host": "potato",
    "bucket": "my-bucket",
    "host_prefix": "potato",
    "sources": [{"tree": "docker-volumes", "paths": ["/mnt/ssd/docker/volumes"]}],
}


def with_key(**changes: Any) -> dict[str, Any]:
    return {**MINIMAL, **changes}


def test_missing_keys_take_the_documented_defaults() -> None:
    config = parse_config(MINIMAL)
    assert isinstance(config, Config)
    assert config.paths.daily == "/mnt/ssd/backup-staging/daily"
    assert config.rclone.chunk_size == "5M"
    assert config.containers.stop_timeout_seconds == 30
    assert config.sources[0].required is True


def test_a_price_is_a_number_whole_or_not() -> None:
    config = parse_config(with_key(cost={"monthly_limit_usd": 5, "class_b_usd_per_10000": 0.004}))
    assert config.cost.monthly_limit_usd == 5.0
    assert isinstance(config.cost.monthly_limit_usd, float)
    assert config.cost.class_b_usd_per_10000 == 0.004
    assert config.cost.storage_usd_per_tb_month == 6.95


def test_nested_values_are_read() -> None:
    config = parse_config(
        with_key(
            rclone={"transfers": 16},
            containers={
                "priorities": {"web": 5},
                "dumps": [{"container": "db", "kind": "postgres", "database": "app"}],
            },
        )
    )
    assert config.rclone.transfers == 16
    assert config.containers.priorities == {"web": 5}
    assert config.containers.dumps[0].database == "app"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], "the file must be an object, not a list"),
        ({}, "key 'host' is missing"),
        (with_key(host=1), "key 'host' must be a string, not a whole number (1)"),
        (with_key(host=""), "key 'host' must not be empty"),
        (with_key(version=2), "key 'version' must be at most 1, not 2"),
        (
            with_key(second={"path": "/mnt/../usb"}),
            "key 'second.path' must be an absolute path, not '/mnt/../usb'",
        ),
        (with_key(second={"path": "/"}), "key 'second.path' must be an absolute path, not '/'"),
        (with_key(sources=[]), "key 'sources' must not be empty"),
        (with_key(sources={}), "key 'sources' must be a list, not an object"),
        (with_key(rclone={"tranfers": 1}), "key 'rclone.tranfers' is not known here"),
        (
            with_key(rclone={"transfers": 1.5}),
            "key 'rclone.transfers' must be a whole number, not a fraction (1.5)",
        ),
        (
            with_key(cost={"monthly_limit_usd": "2"}),
            "key 'cost.monthly_limit_usd' must be a number, not a string",
        ),
        (
            with_key(cost={"monthly_limit_usd": True}),
            "key 'cost.monthly_limit_usd' must be a number, not true or false",
        ),
        (
            with_key(cost={"monthly_limit_usd": -1}),
            "key 'cost.monthly_limit_usd' must be at least 0, not -1",
        ),
        (
            with_key(cost={"monthly_limit_usd": float("nan")}),
            "key 'cost.monthly_limit_usd' must be a number, not nan",
        ),
        (with_key(rclone={"transfers": True}), "key 'rclone.transfers' must be a whole number"),
        (with_key(rclone={"transfers": 0}), "key 'rclone.transfers' must be at least 1, not 0"),
        (with_key(rclone={"chunk_size": "big"}), "key 'rclone.chunk_size' must be like '5M'"),
        (
            with_key(sources=[{"tree": "Docker Volumes", "paths": ["/a"]}]),
            "key 'sources[0].tree' must be lower case, digits and '-'",
        ),
        (
            with_key(sources=[{"tree": "a", "paths": ["relative"]}]),
            "'sources[0].paths' must hold absolute paths without '..' below '/', not 'relative'",
        ),
        (
            with_key(sources=[{"tree": "a", "paths": ["/a/../b"]}]),
            "key 'sources[0].paths' must hold absolute paths without '..'",
        ),
        (
            with_key(sources=[{"tree": "a", "paths": ["/"]}]),
            "key 'sources[0].paths' must hold absolute paths without '..' below '/', not '/'",
        ),
        (
            with_key(sources=[{"tree": "a", "paths": ["/mnt/ssd/backup-staging/daily"]}]),
            "key 'sources[0].paths' must hold nothing of the staging area /mnt/ssd/backup-staging",
        ),
        (with_key(paths={"state": "state"}), "key 'paths.state' must be an absolute path"),
        (with_key(paths={"ssd": ""}), "key 'paths.ssd' must be an absolute path"),
        (
            with_key(containers={"socket": "unix:///run/docker.sock"}),
            "key 'containers.socket' must be an absolute path without '..'",
        ),
        (with_key(rclone={"binary": "rclone"}), "key 'rclone.binary' must be an absolute path"),
        (
            with_key(rclone={"bandwidth_limit": "fast"}),
            "key 'rclone.bandwidth_limit' must be like '4M' or '08:00,512k 23:00,off', not 'fast'",
        ),
        (
            with_key(sources=[{"tree": "a", "paths": ["/a"]}, {"tree": "a", "paths": ["/b"]}]),
            "key 'sources[1].tree' repeats the tree 'a'",
        ),
        (
            with_key(containers={"dumps": [{"container": "db", "kind": "oracle"}]}),
            "key 'containers.dumps[0].kind' must be one of postgres, mysql, sqlite, command",
        ),
        (
            with_key(containers={"dumps": [{"container": "db", "kind": "sqlite"}]}),
            "key 'containers.dumps[0].path' is missing: a sqlite dump needs it",
        ),
        (
            with_key(containers={"priorities": {"web": "first"}}),
            "key 'containers.priorities.web' must be a whole number",
        ),
    ],
)
def test_bad_input_names_the_key_and_what_was_expected(raw: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, "/etc/x.json")
    assert str(caught.value).startswith("/etc/x.json: ")
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "limit",
    [
        *("", "off", "4M", "512k", "1.5MiB", "10M:off", "08:00,512k 23:00,off"),
        "Mon-08:00,512 sunday-20:00,1M:2M",
    ],
)
def test_what_bwlimit_takes_is_taken(limit: str) -> None:
    config = parse_config(with_key(rclone={"bandwidth_limit": limit}))
    assert config.rclone.bandwidth_limit == limit


def test_a_source_may_hold_the_staging_area() -> None:
    parse_config(with_key(sources=[{"tree": "a", "paths": ["/mnt/ssd", "/mnt/ssd/backup"]}]))


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Any) -> None:
    missing = tmp_path / "config.json"
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        load_config(str(missing))
    missing.write_text("{ nearly json", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is not JSON.*line 1"):
        load_config(str(missing))
    missing.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_config(str(missing))
