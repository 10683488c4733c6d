#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write rclone.conf once it is proven; see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rclone_conf
short_description: Write rclone.conf once it is proven against B2
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Writes rclone's configuration with the B2 remote and the crypt remote over it, mode 0600 and
    owned by root.
  - The new content is proven before it replaces the old file. The proof asks B2 whether the key
    is right and may do what is needed in the bucket and below the prefix, and whether the names
    that are already there can be decrypted with the passwords.
  - If the proof fails the old file stays as it was.
  - Content that is the same as the file's asks B2 nothing and changes nothing.
  - What works but should be mended, such as a key that may delete the backups, is a warning.
  - A second destination (a remote C(second-encrypted) in O(content)) that can't be reached is a
    warning too. A C(token) that rclone has renewed in the file since is kept.
extends_documentation_fragment:
  - lepotato.backup.attributes
  - lepotato.backup.attributes.board
options:
  content:
    description:
      - What the file is to hold.
    type: str
    required: true
  dest:
    description:
      - Where the file lies. Its directory must exist.
    type: path
    default: /etc/lepotato-backup/rclone.conf
  binary:
    description:
      - The rclone program, which proves the passwords.
    type: path
    default: /usr/local/bin/rclone
  raw_remote:
    description:
      - The name of the remote of type b2 in O(content).
    type: str
    default: b2-backup
  crypt_remote:
    description:
      - The name of the remote of type crypt in O(content).
    type: str
    default: b2-encrypted
  prove:
    description:
      - Whether to prove the content before it replaces the file.
    type: bool
    default: true
  prove_passwords:
    description:
      - Whether the proof tries the passwords and the second destination too, and not B2 alone.
      - V(false) needs no O(binary); it is for a look in check mode before rclone is installed.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    details:
      - Proves too, from a private temporary file. Without O(binary), on a host that is still
        bare, only the key is proven, and a warning says so.
  diff_mode:
    support: full
    details: Shows the names of keys, and for secrets only whether they change.
seealso:
  - module: lepotato.backup.b2_verify
"""

EXAMPLES = r"""
- name: Write the proven configuration
  lepotato.backup.rclone_conf:
    content: "{{ lookup('ansible.builtin.template', 'rclone.conf.j2') }}"
"""

RETURN = r"""
dest:
  description: Where the file lies.
  returned: always
  type: str
  sample: /etc/lepotato-backup/rclone.conf
needed:
  description: Whether the file was not as wanted, whatever a task says with C(changed_when).
  returned: success
  type: bool
directory:
  description: Mode and owner of the directory that the file lies in; empty when it is not there.
  returned: success
  type: str
  sample: '0700 0:0'
proven:
  description: Whether the content was proven in this run.
  returned: success
  type: bool
proof:
  description: What the proof found.
  returned: when proven
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
      description:
        - Whether nothing lies below the prefix yet, so that the passwords could not be proven.
      type: bool
    warnings:
      description: What works but should be mended.
      type: list
      elements: str
    passwords_proven:
      description: Whether names that lie below the prefix were decrypted.
      type: bool
    clock_skew_seconds:
      description: How far B2's clock is ahead of the host's.
      type: float
    seconds:
      description: How long the proof took.
      type: float
command:
  description: The command that failed, without secrets.
  returned: when rclone refused the content
  type: list
  elements: str
rc:
  description: The exit code of O(binary).
  returned: when rclone refused the content
  type: int
stderr:
  description: What rclone wrote, without secrets.
  returned: when rclone refused the content
  type: str
"""

import dataclasses
import os
import tempfile
from typing import Any, Dict, Optional, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError
from ansible_collections.lepotato.backup.plugins.module_utils.config.schema import (
    Rclone as RcloneConfig,
)
from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.atomic_write import (
    sync_directory,
)
from ansible_collections.lepotato.backup.plugins.module_utils.process.runner import ModuleRunner
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.commands import Rclone
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.conf import (
    hide_secrets,
    masked_pair,
    parse_remote,
)
from ansible_collections.lepotato.backup.plugins.module_utils.rclone.remote_proof import (
    AuthProof,
    failure_facts,
    prove_auth,
)
from ansible_collections.lepotato.backup.plugins.module_utils.second.conf import (
    second_warnings,
    settled_content,
)

MODE = 0o600
OWNER_ID = 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "required": True, "no_log": True},
            "dest": {"type": "path", "default": "/etc/lepotato-backup/rclone.conf"},
            "binary": {"type": "path", "default": "/usr/local/bin/rclone"},
            "raw_remote": {"type": "str", "default": "b2-backup"},
            "crypt_remote": {"type": "str", "default": "b2-encrypted"},
            "prove": {"type": "bool", "default": True},
            "prove_passwords": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    content = module.params["content"]
    try:
        result = run(module)
    except (BackupError, OSError) as error:
        module.fail_json(**hide_secrets({"msg": str(error), **failure_facts(error)}, content))
    module.exit_json(**result)


def run(module: AnsibleModule) -> Dict[str, Any]:
    """Do what is asked; the module's result. Raises BackupError or OSError."""
    dest = module.params["dest"]
    before, access = _present(dest)
    content = settled_content(before or "", module.params["content"], dest)
    wanted_access = f"{MODE:04o} {OWNER_ID}"
    masked_before, masked_after = masked_pair(before or "", content)
    result: Dict[str, Any] = {
        "dest": dest,
        "changed": before != content or access != wanted_access,
        "proven": False,
        "directory": _directory(os.path.dirname(dest)),
        "diff": {
            "before_header": f"{dest} ({access or 'not there'})",
            "after_header": f"{dest} ({wanted_access})",
            "before": masked_before,
            "after": masked_after,
        },
    }
    result["needed"] = result["changed"]
    if before != content:
        _replace(module, content, result)
    elif result["changed"] and not module.check_mode:
        os.chmod(dest, MODE)
        os.chown(dest, OWNER_ID, OWNER_ID)
    return result


def _present(dest: str) -> Tuple[Optional[str], str]:
    """The file's content (None when it is not there) and its mode and owner as text."""
    try:
        with open(dest, encoding="utf-8", errors="surrogateescape") as stream:
            status = os.fstat(stream.fileno())
            return stream.read(), f"{status.st_mode & 0o7777:04o} {status.st_uid}"
    except FileNotFoundError:
        return None, ""


def _directory(path: str) -> str:
    """The directory's mode, owner and group as text; empty when it is not there."""
    if not os.path.isdir(path):
        return ""
    status = os.stat(path)
    return f"{status.st_mode & 0o7777:04o} {status.st_uid}:{status.st_gid}"


def _replace(module: AnsibleModule, content: str, result: Dict[str, Any]) -> None:
    """Prove the new content and, outside check mode, put it in the place of the file."""
    dest = module.params["dest"]
    # In check mode the candidate lies in Ansible's own directory, which is private to the user.
    directory = module.tmpdir if module.check_mode else os.path.dirname(dest)
    if not os.path.isdir(directory):
        raise BackupError(f"The directory {directory} is not there", "Make it first, mode 0700")
    descriptor, candidate = tempfile.mkstemp(dir=directory, prefix=".rclone.conf.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), MODE)
            os.fchown(stream.fileno(), OWNER_ID, OWNER_ID)
            os.fsync(stream.fileno())
        if module.params["prove"]:
            proof = _prove(module, candidate)
            result.update(proven=True, proof=dataclasses.asdict(proof))
            warnings = list(proof.warnings)
            if module.params["prove_passwords"]:
                runner = ModuleRunner(module)
                warnings += second_warnings(
                    content, dest, proof.prefix, _binary(module), candidate, runner
                )
            for warning in warnings:
                module.warn(hide_secrets({"msg": warning}, content)["msg"])
        if not module.check_mode:
            os.rename(candidate, dest)
            sync_directory(directory)
    finally:
        if os.path.exists(candidate):
            os.unlink(candidate)


def _binary(module: AnsibleModule) -> Optional[str]:
    binary: str = module.params["binary"]
    return binary if os.access(binary, os.X_OK) else None


def _prove(module: AnsibleModule, candidate: str) -> AuthProof:
    params = module.params
    remote = parse_remote(
        params["content"], params["raw_remote"], params["crypt_remote"], params["dest"]
    )
    if not params["prove_passwords"]:
        return prove_auth(remote, None)
    rclone: Optional[Rclone] = None
    if _binary(module) is not None:
        config = RcloneConfig(
            binary=params["binary"],
            config=candidate,
            raw_remote=params["raw_remote"],
            crypt_remote=params["crypt_remote"],
        )
        rclone = Rclone(config, ModuleRunner(module))
    elif module.check_mode:
        module.warn(f"The passwords were not proven: there is no {params['binary']} yet")
    else:
        raise BackupError(
            f"There is no program {params['binary']} to prove the passwords with",
            "Install rclone first (the role lepotato.backup.rclone does), or set prove to false",
        )
    return prove_auth(remote, rclone)


if __name__ == "__main__":
    main()
