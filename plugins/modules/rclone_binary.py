#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: install a pinned rclone; the logic is in module_utils/rclone/binary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rclone_binary
short_description: Install the rclone binary that has a given SHA-256
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Does nothing when the binary at O(dest) has the right sum already. Nothing is downloaded or
    transferred then.
  - Otherwise fetches rclone, checks the sum of the binary itself whatever it was delivered in, and
    replaces O(dest) by a rename, so that an rclone that is running is not disturbed.
  - When the sum is wrong it fails and what was installed stays.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
options:
  url:
    description: Where the host downloads rclone from. A zip file that holds one file named
      C(rclone), or the binary.
    type: str
  file:
    description: A file on the control node instead, zip file or binary.
    type: path
  delivery:
    description: A file on the host instead. The action plugin of this module sets it after it has
      transferred O(file).
    type: path
  sha256:
    description: The SHA-256 of the binary.
    type: str
    required: true
  dest:
    description: Where the binary is installed.
    type: path
    default: /usr/local/bin/rclone
attributes:
  check_mode:
    support: full
    details: Nothing is downloaded then, a file on the control node is checked.
  diff_mode:
    support: full
    details: Returns the two sums.
"""

EXAMPLES = r"""
- name: Install rclone from its release
  lepotato.backup.rclone_binary:
    url: https://downloads.rclone.org/v1.75.2/rclone-v1.75.2-linux-arm64.zip
    sha256: 5aa85195f836e62f76e9dbb94dada612bd08be892f8f4196ec54ed7fee01a3c0
"""

RETURN = r"""
sha256_before:
  description: The sum of the binary that was installed before; empty when there was none.
  returned: success
  type: str
  sample: ""
"""

import os
from functools import partial
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.binary import (
    download,
    file_sha256,
    install_binary,
    require_sha256,
)

# The server must send something within this time; the whole download may take longer.
DOWNLOAD_STALL_SECONDS = 60


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str"},
            "file": {"type": "path"},
            "delivery": {"type": "path"},
            "sha256": {"type": "str", "required": True},
            "dest": {"type": "path", "default": "/usr/local/bin/rclone"},
        },
        mutually_exclusive=[["url", "file"], ["url", "delivery"]],
        required_one_of=[["url", "file", "delivery"]],
        supports_check_mode=True,
    )
    params = module.params
    try:
        expected = require_sha256(params["sha256"])
        before = file_sha256(params["dest"]) or ""
        changed = before != expected
        # Without a delivery the action plugin asks whether it has to transfer one.
        if changed and not module.check_mode and (params["url"] or params["delivery"]):
            install(params, expected, module.tmpdir)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        sha256_before=before,
        diff=sum_diff(params["dest"], before, expected) if changed else {},
    )


def install(params: Dict[str, Any], expected: str, temporary_directory: str) -> None:
    """Fetch what has to be fetched and install it."""
    os.makedirs(os.path.dirname(params["dest"]), mode=0o755, exist_ok=True)
    delivery, name = params["delivery"], params["file"]
    if params["url"]:
        delivery, name = os.path.join(temporary_directory, "rclone-delivery"), params["url"]
        download(name, delivery, partial(open_url, timeout=DOWNLOAD_STALL_SECONDS))
    install_binary(delivery, name or delivery, params["dest"], expected)


def sum_diff(path: str, before: str, after: str) -> Dict[str, str]:
    """Two sums as a diff."""
    return {
        "before_header": path,
        "after_header": path,
        "before": f"sha256 {before}\n" if before else "",
        "after": f"sha256 {after}\n",
    }


if __name__ == "__main__":
    main()
