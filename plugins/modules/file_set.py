#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: put a set of small files in place; see module_utils/filesystem/file_set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Put a set of small files and directories in place
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Compares a set of text files and directories with what is there and replaces what differs, each
    file atomically.
  - One call for the whole set, where one call for each file would start Python on the host again
    and again. Files whose directory does not exist yet work in check mode.
  - Everything belongs to the user that the module runs as.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
  - lepotato.backup.options.directories
options:
  files:
    description: Files that must exist with this content, in the order given.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      mode:
        description: Its permissions, octal.
        type: str
        default: "0644"
      content:
        description: All of its text. It is shown in a diff and must not be a secret.
        type: str
        required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Install the cron table and the log rotation
  lepotato.backup.file_set:
    files:
      - path: /etc/cron.d/lepotato-backup
        content: "{{ lookup('ansible.builtin.template', 'cron.j2') }}"
      - path: /etc/logrotate.d/lepotato-backup
        content: "{{ lookup('ansible.builtin.template', 'logrotate.j2') }}"
"""

RETURN = r"""
changed_paths:
  description: The paths that were not as wanted.
  returned: success
  type: list
  elements: str
  sample: [/etc/cron.d/lepotato-backup]
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.file_set import (
    apply_changes,
    changes_needed,
    wanted_from_options,
)

DIRECTORY_OPTIONS: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str", "default": "0755"},
}
FILE_OPTIONS: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "content": {"type": "str", "required": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": DIRECTORY_OPTIONS,
            },
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE_OPTIONS},
        },
        supports_check_mode=True,
    )
    try:
        wanted = wanted_from_options([*module.params["directories"], *module.params["files"]])
        changes = changes_needed(wanted)
        if not module.check_mode:
            apply_changes(changes)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(changes),
        changed_paths=[change.wanted.path for change in changes],
        diff=[change.as_diff() for change in changes],
    )


if __name__ == "__main__":
    main()
