#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: staging as a directory or in an image; see module_utils/staging/image_plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: staging_image
short_description: Keep the staging area in a directory, or in an image file with bounds of its own
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - With O(mode=image), makes a file of O(size_bytes) beside the staging directory, all of it
    allocated, with an ext4 in it, and mounts it at O(staging) through fstab. Staging can then not
    fill the SSD, and nothing else on the SSD takes its space.
  - A larger O(size_bytes) lets it grow while it is mounted. A smaller one is an error.
  - A change of O(mode) moves what is staged, hard links included. It is compared before it counts.
    An interruption leaves it whole in one of both places, and the next run goes on.
  - An image that is there already, on an SSD that came from another board, is taken over.
  - Changes nothing while a night is under way.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
  - lepotato.backup.options.mount_point
options:
  mode:
    description:
      - How staging is kept.
      - V(removed) unmounts the image and deletes it with what is in it.
    type: str
    choices: [directory, image, removed]
    required: true
  staging:
    description: The staging directory.
    type: path
    required: true
  size_bytes:
    description: The size of the image, in whole MiB. Needed with O(mode=image).
    type: int
    default: 0
  reserve_bytes:
    description: What must stay free on the SSD beside a new or larger image.
    type: int
    default: 0
  state_directory:
    description: Where runs hold their lock.
    type: path
    default: /var/lib/lepotato-backup
  fstab:
    description: The table of mounts.
    type: path
    default: /etc/fstab
attributes:
  check_mode:
    support: full
    details: Says what it would do, and fails where it could not.
  diff_mode:
    support: full
    details: Returns the steps.
"""

EXAMPLES = r"""
- name: Keep staging in an image of 64 GiB
  lepotato.backup.staging_image:
    mode: image
    mount_point: /mnt/ssd
    staging: /mnt/ssd/backup-staging
    size_bytes: 68719476736
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["let /mnt/ssd/backup-staging.img grow to 68.7 GB"]
"""

import os
from contextlib import ExitStack

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.base.state_files import StateFiles
from ansible_collections.lepotato.backup.plugins.module_utils.process.run_lock import RunLock
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import ModuleRunner
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image import StagingImage
from ansible_collections.lepotato.backup.plugins.module_utils.staging.image_plan import (
    MODES,
    ImagePlaces,
    StagingPlan,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "mode": {"type": "str", "choices": list(MODES), "required": True},
            "mount_point": {"type": "path", "required": True},
            "staging": {"type": "path", "required": True},
            "size_bytes": {"type": "int", "default": 0},
            "reserve_bytes": {"type": "int", "default": 0},
            "state_directory": {"type": "path", "default": "/var/lib/lepotato-backup"},
            "fstab": {"type": "path", "default": "/etc/fstab"},
        },
        supports_check_mode=True,
    )
    params = module.params
    places = ImagePlaces(params["mount_point"], params["staging"], params["fstab"])
    wanted = (params["mode"], params["size_bytes"], params["reserve_bytes"])
    try:
        steps = StagingPlan(places).steps(*wanted)
        if steps and not module.check_mode:
            with ExitStack() as stack:
                # Without the directory there is no program that could run.
                if os.path.isdir(params["state_directory"]):
                    stack.enter_context(RunLock(StateFiles(params["state_directory"]).lock))
                StagingImage(places, ModuleRunner(module)).apply(*wanted)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(steps),
        steps=steps,
        diff={
            "before_header": params["staging"],
            "after_header": params["staging"],
            "before": "",
            "after": "".join(f"{step}\n" for step in steps),
        },
    )


if __name__ == "__main__":
    main()
