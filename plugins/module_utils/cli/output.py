# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program answers on standard output: text for a person, JSON for a machine."""

from __future__ import annotations

import json
import sys


def answer(value: object) -> None:
    """Write *value* as JSON."""
    json.dump(value, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


def say(line: str) -> None:
    """Write one line; bytes of file names that are not text are shown as escapes."""
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
