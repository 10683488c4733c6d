# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The question before anything is replaced, deleted or downloaded."""

from __future__ import annotations

import argparse
import sys

from ..base.errors import BackupError, ConfigError


def ask(arguments: argparse.Namespace, *lines: str) -> None:
    """Say what is about to happen and ask; returns when it may.

    Raises :class:`BackupError` for a no, :class:`ConfigError` when nobody is there to ask.
    """
    sys.stderr.write("\n  ".join(_shown(line) for line in lines) + "\n")
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is there to ask whether to start", "Add --yes for an unattended restore"
        )
    sys.stderr.write("Start? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BackupError("not started", "Nothing was changed")


def _shown(line: str) -> str:
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
