# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``config_problem``; its documentation is in config_problem.yml."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import ConfigError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    CONFIG_PATH,
    parse_config,
)


def config_problem(config: object, path: str = CONFIG_PATH) -> str:
    """What the program would refuse *config* (JSON or decoded JSON) for; "" when it takes it."""
    try:
        # Before ansible-core 2.19 a template that looks like JSON is decoded on the way here.
        parse_config(json.loads(config) if isinstance(config, str) else config, path)
    except ConfigError as error:
        return str(error)
    except ValueError as error:
        return f"{path} would not be JSON: {error}"
    return ""


class FilterModule:
    """What Ansible asks for filters."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"config_problem": config_problem}
