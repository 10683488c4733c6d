# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes this checkout importable as ``ansible_collections.lepotato.backup``.

``ansible_collections`` is a namespace package, so the one that the ``ansible`` package
brings (community.docker and others) and ours in ``.collections`` are merged by Python
as long as both are on ``sys.path``. Ours comes first. Children (a module run as a
program, the installed entry points) inherit it through ``PYTHONPATH``.

And makes signals what a terminal has them be: who starts the tests with nohup or in the background
ignores some, and what is ignored stays so in every program that a test starts.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
COLLECTIONS = CHECKOUT / ".collections"


def _put_first_for_children(entry: str) -> None:
    """Move ``entry`` to the front of the children's ``PYTHONPATH``."""
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [part for part in parts if part not in ("", entry)]
    os.environ["PYTHONPATH"] = os.pathsep.join([entry, *others])


if COLLECTIONS.is_dir():
    for _entry in (str(CHECKOUT / "tests"), str(COLLECTIONS)):
        if _entry in sys.path:
            sys.path.remove(_entry)
        sys.path.insert(0, _entry)
        _put_first_for_children(_entry)
elif CHECKOUT.parents[1].name == "ansible_collections":
    # Under ansible-test the tree lies below such a folder and the link is not copied; in
    # this process ansible-test's own loader finds the collection.
    _put_first_for_children(str(CHECKOUT.parents[2]))

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
