# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that Ansible and its companions run in here."""

from __future__ import annotations

import os

from .paths import CHECKOUT, COLLECTIONS
from .venvs import venv_dir


def ansible_env() -> dict[str, str]:
    """Return what to add to the environment: this tree first, the right Docker client."""
    programs = str(venv_dir("requirements-dev.txt") / "bin")
    # /usr/bin before the rest of PATH: the connection plugin takes the first docker.
    path = os.pathsep.join([programs, "/usr/bin", os.environ.get("PATH", os.defpath)])
    return {
        "PATH": path,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        # Its temporary and cached files stay in the checkout.
        "ANSIBLE_HOME": str(CHECKOUT / ".cache" / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }
