#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a host's remote; see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: b2_verify
short_description: Prove that a host's B2 remote works and holds what was sealed
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Proves the remote that is configured on a host, and fails naming what is wrong and which
    variable mends it.
  - Changes nothing in the bucket, and on the host only the note of when the newest night was
    counted, which C(lepotato-backup snapshots) shows.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
options:
  level:
    description:
      - V(auth) proves that B2 accepts the key, that the key may do what is needed in the bucket
        and below the prefix, and that the passwords decrypt the names that are there.
      - V(count) does that and then counts whether the bucket holds the objects and bytes that the
        newest night was sealed with.
    type: str
    choices: [auth, count]
    default: auth
  config:
    description:
      - The configuration of the backup program, which names rclone, its configuration file and
        the remotes.
      - When the file is not there, their default names are taken.
    type: path
    default: /etc/lepotato-backup/config.json
attributes:
  check_mode:
    support: full
    details: Reads only; in check mode the count is not noted either.
  diff_mode:
    support: none
    details: Reads only.
seealso:
  - module: lepotato.backup.rclone_conf
"""

EXAMPLES = r"""
- name: Prove key, bucket and passwords
  lepotato.backup.b2_verify:

- name: Prove that the newest night is whole
  lepotato.backup.b2_verify:
    level: count
  register: proof

- name: Say which night it was
  ansible.builtin.debug:
    msg: "{{ proof.count.point }}: {{ proof.count.found.files }} objects"
"""

RETURN = r"""
auth:
  description: What the proof of the key and passwords found.
  returned: success
  type: dict
  contains:
    bucket:
      description: The bucket.
      type: str
    prefix:
      description: The prefix in the bucket, without a slash at the end.
      type: str
    capabilities:
      description: What the key may do.
      type: list
      elements: str
    empty:
      description: Whether nothing lies below the prefix yet.
      type: bool
    passwords_proven:
      description: Whether names that lie below the prefix were decrypted.
      type: bool
    warnings:
      description: What works but should be mended.
      type: list
      elements: str
    clock_skew_seconds:
      description: How far B2's clock is ahead of the host's.
      type: float
    seconds:
      description: How long the proof took.
      type: float
count:
  description: What the bucket holds of the newest sealed night.
  returned: success and O(level=count)
  type: dict
  contains:
    point:
      description: The night.
      type: str
      sample: 20261122T020000Z
    sealed_at:
      description: When it was sealed.
      type: str
      sample: '2026-11-22T02:14:09Z'
    sealed:
      description: Objects (C(files)) and plain C(bytes) it was sealed with.
      type: dict
    found:
      description: Objects (C(files)) and plain C(bytes) that the bucket holds of it.
      type: dict
    seconds:
      description: How long counting took.
      type: float
command:
  description: The command that failed, without secrets.
  returned: when rclone failed
  type: list
  elements: str
rc:
  description: The exit code of rclone.
  returned: when rclone failed
  type: int
stderr:
  description: What rclone wrote, without secrets.
  returned: when rclone failed
  type: str
"""

import dataclasses
import os
import time
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    CONFIG_PATH,
    load_config,
)
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Rclone as RcloneConfig,
)
from ansible_collections.lepotato.backup.plugins.module_utils.points.count import prove_count
from ansible_collections.lepotato.backup.plugins.module_utils.points.verified import prove_and_note
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import ModuleRunner
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.conf import read_remote
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.remote_proof import (
    failure_facts,
    prove_auth,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "level": {"type": "str", "choices": ["auth", "count"], "default": "auth"},
            "config": {"type": "path", "default": CONFIG_PATH},
        },
        supports_check_mode=True,
    )
    result: Dict[str, Any] = {"changed": False}
    try:
        path = module.params["config"]
        whole = load_config(path) if os.path.exists(path) else None
        config = whole.rclone if whole else RcloneConfig()
        remote = read_remote(config.config, config.raw_remote, config.crypt_remote)
        rclone = Rclone(config, ModuleRunner(module))
        auth = prove_auth(remote, rclone)
        result["auth"] = dataclasses.asdict(auth)
        if module.params["level"] == "count":
            if whole and os.path.isdir(whole.paths.state) and not module.check_mode:
                proof = prove_and_note(rclone, whole, time.time())
            else:
                proof = prove_count(rclone, module.tmpdir)
            result["count"] = dataclasses.asdict(proof)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error), **failure_facts(error))
    for warning in auth.warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
