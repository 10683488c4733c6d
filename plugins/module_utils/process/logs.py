# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a run: a file on the SSD, the terminal, and syslog where the file can't be written.

The log file may be rotated at any time, also in mid-run: the handler notices that the name
belongs to another file and opens it, so that each line is in one file or the other.
"""

from __future__ import annotations

import contextlib
import grp
import io
import logging
import logging.handlers
import os
import sys
import time
from typing import Callable, List, Optional, TextIO

LOG_MODE = 0o640
LOG_GROUP = "adm"
SYSLOG_SOCKET = "/dev/log"


class RunLog:
    """A :class:`..base.journal.Journal` over Python's logging; keeps the warnings and the step."""

    def __init__(self, run_id: str, handlers: List[logging.Handler]) -> None:
        self.warnings: List[str] = []
        self.current_step = ""
        # A logger of its own: two runs in one process (tests, modules) must not share handlers.
        self._logger = logging.Logger("lepotato-backup", logging.DEBUG)  # noqa: LOG001
        formatter = logging.Formatter(
            f"%(asctime)sZ %(levelname)-7s [{run_id}] %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        for handler in handlers:
            if handler.formatter is None:
                handler.setFormatter(formatter)
            self._logger.addHandler(handler)

    def info(self, message: str) -> None:
        """See :class:`..base.journal.Journal`."""
        self._logger.info("%s", message)

    def warning(self, message: str) -> None:
        """See :class:`..base.journal.Journal`."""
        self.warnings.append(message)
        self._logger.warning("%s", message)

    def error(self, message: str) -> None:
        """The run failed, or a part of it."""
        self._logger.error("%s", message)

    def step(self, name: str) -> None:
        """See :class:`..base.journal.Journal`."""
        self.current_step = name
        self._logger.debug("step %s", name)

    def close(self) -> None:
        """Flush and close every handler."""
        for handler in self._logger.handlers:
            handler.close()


class SsdLogHandler(logging.handlers.WatchedFileHandler):
    """The log file, made for root and the group adm and opened anew after each rotation.

    logrotate does not make it: where both do, the later one moves the earlier one's file aside.
    """

    _told = False

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(
            self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_MODE
        )
        if os.fstat(descriptor).st_size == 0 and os.geteuid() == 0:
            _give_to_group(descriptor)
        # File names may hold any byte: the log shows what it can't decode as escapes.
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Say once that the log can't be written: a run on a full SSD still has to end well."""
        self._tell(sys.exc_info()[1])

    def close(self) -> None:
        """Close the file; what a full SSD did not take is lost, as has been said."""
        try:
            super().close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: object) -> None:
        if not self._told:
            self._told = True
            sys.stderr.write(f"the log {self.baseFilename} can't be written: {error}\n")


def _give_to_group(descriptor: int) -> None:
    """Let those read the log who read the system's logs; root's alone where there are none."""
    with contextlib.suppress(KeyError):
        os.fchown(descriptor, -1, grp.getgrnam(LOG_GROUP).gr_gid)


def file_handler(path: str) -> logging.Handler:
    """The log file at *path*; raises :class:`OSError` when it can't be opened."""
    handler = SsdLogHandler(path)
    handler.setLevel(logging.INFO)
    return handler


def stream_handler(stream: TextIO, level: int) -> logging.Handler:
    """The terminal, or what cron collects: messages without time and run."""
    handler = logging.StreamHandler(stream)
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def syslog_handler(
    socket_path: str = SYSLOG_SOCKET, exists: Callable[[str], bool] = os.path.exists
) -> Optional[logging.Handler]:
    """Syslog for warnings and errors; None where no syslog daemon listens."""
    if not exists(socket_path):
        return None
    handler = logging.handlers.SysLogHandler(address=socket_path)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("lepotato-backup: %(message)s"))
    return handler
