# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call of the API consists of, and the bits its handlers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .accounts import Key
from .errors import B2Error
from .params import Params

LISTING_COUNT_DEFAULT = 100
LISTING_COUNT_MAX = 10_000
NAMES_PER_TRANSACTION = 1000  # documented: a longer page is billed as several


@dataclass
class Call:
    """One call: who asks, in which version of the API, with what."""

    name: str
    api_version: int
    params: Params
    authorization: str | None
    base_url: str
    billed: int = 1  # see transactions()


Handler = Callable[[Call, Key], dict[str, Any]]


def transactions(listed: int) -> int:
    """As how many calls a page of so many entries is billed."""
    return max(1, -(-listed // NAMES_PER_TRANSACTION))


def page_count(params: Params, name: str, maximum: int = LISTING_COUNT_MAX) -> int:
    """How many entries a page may have; 400 out_of_range beyond the maximum."""
    count = params.optional_number(name) or min(LISTING_COUNT_DEFAULT, maximum)
    if not 1 <= count <= maximum:
        raise B2Error(400, "out_of_range", f"{name} must be in 1..{maximum}")
    return count
