# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths as a person types them on the command line."""

from __future__ import annotations

import argparse
import os


def typed_path(text: str) -> str:
    """A path that must not be empty. No shell opens the "~" of ``--option=~/file``."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; is a variable not set?")
    return os.path.expanduser(text)
