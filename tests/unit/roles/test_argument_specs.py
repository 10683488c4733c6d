# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role documents is what it does: argument_specs.yml against defaults/main.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
NAMES = sorted(path.parent.parent.name for path in ROLES.glob("*/defaults/main.yml"))

SECRET = re.compile(r"(password2?|_key|token|secret|webhook_url)$")


def _load(role: str, part: str) -> Any:
    return yaml.safe_load((ROLES / role / part).read_text(encoding="utf-8"))


def _options(role: str) -> Dict[str, Dict[str, Any]]:
    options: Dict[str, Dict[str, Any]] = _load(role, "meta/argument_specs.yml")["argument_specs"][
        "main"
    ]["options"]
    return options


def test_every_role_has_defaults() -> None:
    assert sorted(path.name for path in ROLES.iterdir() if path.is_dir()) == NAMES
    assert {"agent", "rclone", "schedule", "staging"} <= set(NAMES)


def _computed(role: str) -> Dict[str, str]:
    """Return the defaults that are templates and no text when they are rendered.

    As the default of an int, a bool or a list, a template is refused where documentation is made.
    """
    return {
        name: default
        for name, default in _load(role, "defaults/main.yml").items()
        if isinstance(default, str)
        and "{{" in default
        and _options(role)[name]["type"] not in ("str", "path")
    }


@pytest.mark.parametrize("role", NAMES)
def test_documented_defaults_are_the_defaults(role: str) -> None:
    documented = {
        name: option["default"] for name, option in _options(role).items() if "default" in option
    }
    defaults = _load(role, "defaults/main.yml")
    computed = _computed(role)
    assert documented == {name: defaults[name] for name in defaults if name not in computed}


@pytest.mark.parametrize("role", NAMES)
def test_a_computed_default_is_told_in_words(role: str) -> None:
    for name, template in _computed(role).items():
        variable = template.split()[1]
        assert f"C({variable})" in str(_options(role)[name]["description"]), name


def test_computed_defaults_are_found() -> None:
    assert set(_computed("agent")) == {"agent_history_days", "agent_second_remote_enabled"}


@pytest.mark.parametrize("role", NAMES)
def test_what_has_no_default_is_required(role: str) -> None:
    without = [
        name
        for name, option in _options(role).items()
        if "default" not in option and name not in _computed(role)
    ]
    assert [name for name in without if not _options(role)[name].get("required")] == []


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_described_typed_and_named_after_its_role(role: str) -> None:
    for name, option in _options(role).items():
        assert name.startswith(f"{role}_"), name
        _check_described(name, option)


@pytest.mark.parametrize("role", NAMES)
def test_secrets_are_kept_out_of_the_log(role: str) -> None:
    open_secrets = [
        name
        for name, option in _options(role).items()
        if SECRET.search(name) and not option.get("no_log")
    ]
    assert open_secrets == []


@pytest.mark.parametrize("role", NAMES)
def test_the_documented_default_of_a_secret_is_no_template(role: str) -> None:
    # When an argument is wrong, Ansible shows the whole specification with its templates filled in.
    templates = [
        name
        for name, option in _options(role).items()
        if option.get("no_log") and "{{" in str(option["default"])
    ]
    assert templates == []


@pytest.mark.parametrize("role", NAMES)
def test_the_entry_points_take_the_same_options(role: str) -> None:
    specs = _load(role, "meta/argument_specs.yml")["argument_specs"]
    assert {entry: spec["options"] for entry, spec in specs.items()} == {
        entry: _options(role) for entry in specs
    }


@pytest.mark.parametrize("role", NAMES)
def test_the_readme_lists_every_variable_and_no_other(role: str) -> None:
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)]
    assert sorted(named) == sorted(_options(role))


def _check_described(name: str, option: Dict[str, Any]) -> None:
    description: List[str] = option["description"]
    assert description, name
    assert option["type"] in ("bool", "dict", "float", "int", "list", "path", "str"), name
    for suboption, content in option.get("options", {}).items():
        _check_described(f"{name}.{suboption}", content)
