# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: python -m b2_standin --listen 127.0.0.1:0 --data DIR [--ready-file FILE]"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from pathlib import Path

from .front import Server
from .service import Service

_PARENT_CHECK_SECONDS = 1.0


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="b2_standin", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR")
    parser.add_argument("--ready-file", type=Path, metavar="FILE")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when the parent does")
    arguments = parser.parse_args()
    address, _colon, port = arguments.listen.rpartition(":")
    if not port.isdigit():
        parser.error("--listen must be ADDRESS:PORT")
    server = Server((address, int(port)), Service(arguments.data))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    if arguments.exit_with_parent:
        threading.Thread(target=_watch_parent, args=(server, os.getppid()), daemon=True).start()
    if arguments.ready_file is not None:
        _write_ready_file(arguments.ready_file, address, server)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    server.service.database.close()


def _write_ready_file(path: Path, address: str, server: Server) -> None:
    """Write where and how to log in; appears whole or not at all."""
    master = server.service.accounts.master()
    ready = {
        "url": f"http://{address}:{server.server_address[1]}",
        "account_id": server.service.accounts.account_id,
        "application_key_id": master.key_id,
        "application_key": master.secret,
        "pid": os.getpid(),
    }
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(ready), encoding="utf-8")
    temporary.replace(path)


def _watch_parent(server: Server, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    server.shutdown()


if __name__ == "__main__":
    main()
