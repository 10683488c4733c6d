# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of lepotato.backup.rclone_binary that runs on the control node: transfer a file."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.binary import (
    delivery_sha256,
    require_match,
    require_sha256,
)

MODULE = "lepotato.backup.rclone_binary"


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no type information
    """Transfer O(file) to the host, but only when the host does not have that binary yet."""

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Run the module, and once more with the transferred file if that is needed."""
        result: Dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        result.update(self._execute_module(module_name=MODULE, task_vars=task_vars))
        if not arguments.get("file") or result.get("failed") or not result["changed"]:
            return result
        file = os.path.expanduser(arguments["file"])
        self._require_right_file(file, arguments["sha256"])
        if self._task.check_mode:
            return result
        # Each module run removes its temporary directory unless one is made for the action.
        self._make_tmp_path()
        delivery = self._connection._shell.join_path(
            self._connection._shell.tmpdir, "rclone-delivery"
        )
        self._transfer_file(file, delivery)
        self._fixup_perms2((self._connection._shell.tmpdir, delivery))
        arguments["delivery"] = delivery
        result.update(
            self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        )
        return result

    @staticmethod
    def _require_right_file(file: str, expected: str) -> None:
        # Found out here, a wrong file is not sent over a slow network first.
        try:
            require_match(delivery_sha256(file), require_sha256(expected), file)
        except BackupError as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(
                f"rclone_file: {file} can't be read on the control node: {error.strerror}. "
                "Set rclone_file to a zip file of the release or to the binary"
            ) from error
