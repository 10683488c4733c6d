# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.lepotato.backup.plugins.filter.config_problem import config_problem

CONFIG = {
    "host": "potato",
    "bucket": "my-bucket",
    "host_prefix": "potato",
    "sources": [{"tree": "etc", "paths": ["/etc"]}],
}


@pytest.mark.parametrize("config", [CONFIG, json.dumps(CONFIG)])
def test_what_the_program_takes_has_no_problem(config: object) -> None:
    assert config_problem(config) == ""


def test_the_key_and_what_was_expected_are_named() -> None:
    problem = config_problem({**CONFIG, "guards": {"shrink_percent_max": 0}}, "/c.json")
    assert problem.startswith("/c.json: key 'guards.shrink_percent_max' must be at least 1, not 0")


def test_what_is_not_json_is_a_problem() -> None:
    assert config_problem("{", "/c.json").startswith("/c.json would not be JSON")
