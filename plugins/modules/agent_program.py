#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: install the nightly program; the logic is in module_utils/provision/release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_program
short_description: Install the nightly program, its configuration and its entry points
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Installs the C(module_utils) that this module was sent with as a release under O(root), in a
    directory named by its digest, and switches the link C(current) to it by a rename. A run that
    starts meanwhile sees the old program or the new one, whole.
  - The configuration is checked by the very program that is installed, before anything is changed
    and in check mode too.
  - Entry points and directories are put in place as M(lepotato.backup.file_set) does it.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
  - lepotato.backup.options.directories
options:
  root:
    description: Where releases are kept.
    type: path
    default: /opt/backup/lib
  kept_releases:
    description: How many earlier releases are kept for runs that are under way.
    type: int
    default: 2
  config:
    description: The configuration, JSON. It holds no secrets and is shown in a diff.
    type: json
    required: true
  config_path:
    description: Where the configuration is written, readable by root alone.
    type: path
    default: /etc/lepotato-backup/config.json
  files:
    description: The entry points, written after the program is in place.
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
        default: "0755"
      content:
        description: All of its text.
        type: str
        required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Install the program
  lepotato.backup.agent_program:
    config: "{{ lookup('ansible.builtin.template', 'config.json.j2') }}"
    files:
      - path: /usr/local/bin/lepotato-backup
        content: "{{ lookup('ansible.builtin.template', 'lepotato-backup.sh.j2') }}"
"""

RETURN = r"""
release:
  description: The digest of the program that is installed now.
  returned: success
  type: str
  sample: 5f1d7a84db00d2fc
previous_release:
  description: The digest of the program that was installed before; empty when there was none.
  returned: success
  type: str
  sample: 0a4d55a8d778e502
removed_releases:
  description: The releases that were removed.
  returned: success
  type: list
  elements: str
  sample: []
changed_paths:
  description: The files and directories that were not as wanted.
  returned: success
  type: list
  elements: str
  sample: [/etc/lepotato-backup/config.json]
"""

import json
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError

# The command line pulls the whole program into what Ansible sends to the host.
from ansible_collections.lepotato.backup.plugins.module_utils.cli import main as cli
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import parse_config
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.file_set import (
    apply_changes,
    changes_needed,
    wanted_from_options,
)
from ansible_collections.lepotato.backup.plugins.module_utils.provision.release import (
    ENTRY_MODULE,
    current_digest,
    install_release,
    package_sources,
    prune_releases,
    release_digest,
    release_files,
    release_is_whole,
    switch_current,
)

CONFIG_MODE = "0600"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = install(module.params, module.check_mode)
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def argument_spec() -> Dict[str, Any]:
    """The options, see DOCUMENTATION."""
    path = {"type": "path", "required": True}
    mode = {"type": "str", "default": "0755"}
    return {
        "root": {"type": "path", "default": "/opt/backup/lib"},
        "kept_releases": {"type": "int", "default": 2},
        "config": {"type": "json", "required": True},
        "config_path": {"type": "path", "default": "/etc/lepotato-backup/config.json"},
        "directories": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"path": path, "mode": mode},
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"path": path, "mode": mode, "content": {"type": "str", "required": True}},
        },
    }


def install(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Bring the program, its configuration and its entry points up to date."""
    root = params["root"]
    config_text = check_config(params["config"], params["config_path"])
    config_file = {"path": params["config_path"], "mode": CONFIG_MODE, "content": config_text}
    before_program = changes_needed(wanted_from_options([*params["directories"], config_file]))
    entry_points = changes_needed(wanted_from_options(params["files"]))
    files = release_files(package_sources(cli.__name__.rpartition(f".{ENTRY_MODULE}")[0]))
    digest, previous = release_digest(files), current_digest(root)
    whole = release_is_whole(root, digest, files)
    removed: List[str] = []
    if not check_mode:
        if not whole:
            install_release(root, digest, files)
        # Configuration and program are switched back to back: no run starts in between.
        apply_changes(before_program)
        if previous != digest:
            switch_current(root, digest)
        apply_changes(entry_points)
        removed = prune_releases(root, digest, params["kept_releases"])
    changes = before_program + entry_points
    program_changed = not whole or previous != digest
    diff = [change.as_diff() for change in changes]
    if program_changed:
        diff.append(program_diff(root, previous, digest))
    return {
        "changed": bool(changes) or program_changed or bool(removed),
        "release": digest,
        "previous_release": previous,
        "removed_releases": removed,
        "changed_paths": [change.wanted.path for change in changes],
        "diff": diff,
    }


def check_config(text: str, path: str) -> str:
    """*text* as it is written, when the program takes it as its configuration.

    Before ansible-core 2.19 a template that looks like JSON arrives decoded and encoded again,
    in one line: the file is the same whatever Ansible it came through.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BackupError(f"{path} would not be JSON: {error}") from error
    parse_config(raw, path)
    return json.dumps(raw, indent=2) + "\n"


def program_diff(root: str, previous: str, digest: str) -> Dict[str, str]:
    """The switch of the program as a diff."""
    return {
        "before_header": f"{root}/current",
        "after_header": f"{root}/current",
        "before": f"release {previous}\n" if previous else "",
        "after": f"release {digest}\n",
    }


if __name__ == "__main__":
    main()
