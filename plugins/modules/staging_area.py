#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: check the SSD and make the staging area; see module_utils/staging_area."""

from __future__ import annotations

DOCUMENTATION = r"""
module: staging_area
short_description: Check the SSD and make the staging area on it
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Fails, before it makes anything, when the mount point is no mounted file system of its own, is
    read-only, keeps its files in memory, does not answer, or lacks owners, hard links, symbolic
    links, ACLs or extended attributes.
  - Fails when the reserve is not free.
  - Then makes the directories of the staging area.
options:
  mount_point:
    description: Where the SSD is mounted.
    type: path
    required: true
  reserve_bytes:
    description: How many bytes must be free there.
    type: int
    default: 0
  directories:
    description: The directories of the staging area, in the order given.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the directory.
        type: path
        required: true
      mode:
        description: Its permissions, octal.
        type: str
        default: "0755"
attributes:
  check_mode:
    description:
      - Makes no directory, and says what it would make.
      - The device is tried in check mode too. A few bytes are written and removed again.
    support: full
  diff_mode:
    description: Returns what changed.
    support: full
"""

EXAMPLES = r"""
- name: Make the staging area
  lepotato.backup.staging_area:
    mount_point: /mnt/ssd
    reserve_bytes: 1073741824
    directories:
      - path: /mnt/ssd/backup-staging
        mode: "0700"
"""

RETURN = r"""
mount:
  description: What is mounted there.
  returned: success
  type: dict
  sample: {file_system: ext4, source: /dev/sda1}
space:
  description: The space of the file system in bytes, in all and free.
  returned: success
  type: dict
  sample: {free_bytes: 100000000000, total_bytes: 120000000000}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.file_set import (
    apply_changes,
    changes_needed,
    wanted_from_options,
)
from ansible_collections.lepotato.backup.plugins.module_utils.mounts import read_mounts
from ansible_collections.lepotato.backup.plugins.module_utils.staging_area import (
    file_system_space,
    require_capabilities,
    require_reserve,
    require_ssd,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "mount_point": {"type": "path", "required": True},
            "reserve_bytes": {"type": "int", "default": 0},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mode": {"type": "str", "default": "0755"},
                },
            },
        },
        supports_check_mode=True,
    )
    mount_point = module.params["mount_point"]
    try:
        wanted = wanted_from_options(module.params["directories"])
        mount = require_ssd(mount_point, read_mounts())
        space = file_system_space(mount_point)
        require_reserve(mount_point, space, module.params["reserve_bytes"])
        require_capabilities(mount_point)
        changes = changes_needed(wanted)
        if not module.check_mode:
            apply_changes(changes)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(changes),
        mount={"file_system": mount.file_system, "source": mount.source},
        space=space._asdict(),
        diff=[change.as_diff() for change in changes],
    )


if __name__ == "__main__":
    main()
