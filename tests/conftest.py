# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes this checkout importable as ``ansible_collections.lepotato.backup``.

``ansible_collections`` is a namespace package, so the one that the ``ansible`` package
brings (community.docker and others) and ours in ``.collections`` are merged by Python
as long as both are on ``sys.path``. Ours comes first. Children (a module run as a
program, the installed entry points) inherit it through ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
COLLECTIONS = CHECKOUT / ".collections"


def _put_first(entry: str) -> None:
    """Move ``entry`` to the front of ``sys.path`` and of the children's ``PYTHONPATH``."""
    if entry in sys.path:
        sys.path.remove(entry)
    sys.path.insert(0, entry)
    inherited = [
        part
        for part in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if part not in ("", entry)
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join([entry, *inherited])


# Under ansible-test the tree already lies below an ansible_collections folder and the
# link is not copied: there is nothing to add.
if COLLECTIONS.is_dir():
    for _entry in (CHECKOUT / "tests", COLLECTIONS):
        _put_first(str(_entry))
