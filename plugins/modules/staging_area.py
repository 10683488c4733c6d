#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: check the SSD and make the staging area; see module_utils/staging/area."""

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
  - With O(record), fails when the SSD or a source lies on another disk than was recorded, or the
    SSD does not hold its sentinel.
  - Then makes the directories of the staging area, the sentinel and the record.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
  - lepotato.backup.options.directories
  - lepotato.backup.options.mount_point
options:
  reserve_bytes:
    description: How many bytes must be free there.
    type: int
    default: 0
  directories:
    description: The directories of the staging area, in the order given.
  record:
    description:
      - Where it is recorded which disks the SSD and the sources lie on. Not on the SSD.
      - Without it nothing is recorded or compared.
    type: path
  staging:
    description: The staging directory, which gets the sentinel. Needed with O(record).
    type: path
  sources:
    description:
      - The paths that are backed up.
      - Those that do not exist yet are recorded by the first night.
    type: list
    elements: path
    default: []
  accept_new_disks:
    description: Record the disks as they are now, whatever was recorded.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details:
      - Makes no directory, and says what it would make.
      - The device is tried in check mode too. A few bytes are written and removed again.
  diff_mode:
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
    staging: /mnt/ssd/backup-staging
    sources: [/mnt/ssd/docker/volumes]
    record: /var/lib/lepotato-backup/disks.json
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

import json
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.file_set import (
    apply_changes,
    changes_needed,
    wanted_from_options,
)
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.mounts import read_mounts
from ansible_collections.lepotato.backup.plugins.module_utils.staging.area import (
    file_system_space,
    require_capabilities,
    require_reserve,
    require_ssd,
)
from ansible_collections.lepotato.backup.plugins.module_utils.staging.disk_guard import (
    DiskGuard,
    DiskPlaces,
)
from ansible_collections.lepotato.backup.plugins.module_utils.staging.disk_identity import (
    DiskRecord,
)
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image_plan import (
    is_in_transit,
)


def _guard(params: Dict[str, Any]) -> Optional[DiskGuard]:
    if params["record"] is None:
        return None
    places = DiskPlaces(
        params["mount_point"], params["staging"], tuple(params["sources"]), params["record"]
    )
    guard = DiskGuard(
        places,
        read_mounts(),
        accept=params["accept_new_disks"],
        with_sentinel=not is_in_transit(params["staging"]),
    )
    guard.refuse_strangers()
    return guard


def _record_diff(guard: DiskGuard) -> List[Dict[str, str]]:
    if not guard.is_changed:
        return []
    # A new sentinel is drawn by lot: in check mode another one than the run will draw.
    before, after = _told(guard.before), _told(guard.record)
    header = guard.places.record
    return [{"before_header": header, "after_header": header, "before": before, "after": after}]


def _told(record: Optional[DiskRecord]) -> str:
    if record is None:
        return ""
    return json.dumps({**record.to_json(), "sentinel": "..."}, indent=2, sort_keys=True) + "\n"


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
            "record": {"type": "path"},
            "staging": {"type": "path"},
            "sources": {"type": "list", "elements": "path", "default": []},
            "accept_new_disks": {"type": "bool", "default": False},
        },
        required_by={"record": ["staging"]},
        supports_check_mode=True,
    )
    mount_point = module.params["mount_point"]
    try:
        wanted = wanted_from_options(module.params["directories"])
        mount = require_ssd(mount_point, read_mounts())
        space = file_system_space(mount_point)
        require_reserve(mount_point, space, module.params["reserve_bytes"])
        guard = _guard(module.params)
        require_capabilities(mount_point)
        changes = changes_needed(wanted)
        diff = [change.as_diff() for change in changes] + (_record_diff(guard) if guard else [])
        changed = bool(changes) or (guard is not None and guard.is_changed)
        if not module.check_mode:
            apply_changes(changes)
            if guard is not None:
                guard.settle()
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        mount={"file_system": mount.file_system, "source": mount.source},
        space=space._asdict(),
        diff=diff,
    )


if __name__ == "__main__":
    main()
