# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore point and which part of it a person means."""

from __future__ import annotations

import argparse

from ..base.errors import ConfigError
from ..restore.selection import Wish


def wanted_point(arguments: argparse.Namespace) -> str:
    """The point a person means by POINT and DATE."""
    if arguments.point == "weekly":
        return f"weekly {arguments.date or ''}".strip()
    if arguments.date is None:
        return str(arguments.point)
    if arguments.point != "daily":
        raise ConfigError(f"'{arguments.date}' is one argument too many", "Say daily DATE")
    return str(arguments.date)


def wish_of(arguments: argparse.Namespace) -> Wish:
    """The part a person means by ``--tree``, ``--volume`` and ``--path``."""
    return Wish(tuple(arguments.tree), tuple(arguments.volume), tuple(arguments.path))
