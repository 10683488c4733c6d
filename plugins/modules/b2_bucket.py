#!/usr/bin/python
# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: make sure of a bucket's settings; see module_utils/b2/bucket_rules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: b2_bucket
short_description: Make sure that a B2 bucket is private and keeps its history
version_added: 0.1.0
author: lepotato.backup contributors (@lepotato)
description:
  - Makes the bucket when it is not there. Makes it private. Gives it a lifecycle rule that keeps
    replaced and hidden versions, on which every restore of an earlier night depends, and that
    cancels unfinished large files.
  - Never takes back what protects more than is asked for, unless O(allow_weaker=true).
  - Runs on the control node, with a key that may do more than the key on the board. That key
    belongs on no board.
requirements:
  - b2sdk 2.0 or later on the host that runs the module
extends_documentation_fragment:
  - lepotato.backup.attributes
options:
  name:
    description: The bucket.
    type: str
    required: true
  application_key_id:
    description: The ID of a key with listBuckets, readBuckets, writeBuckets (and, for their
      options, readBucketEncryption, writeBucketEncryption, readBucketRetentions and
      writeBucketRetentions).
    type: str
    required: true
  application_key:
    description: The key.
    type: str
    required: true
  endpoint:
    description: The URL of another B2 service. Empty is Backblaze.
    type: str
    default: ""
  prefix:
    description: The names that the lifecycle rule covers. Empty is the whole bucket. Rules for
      other prefixes are left alone; one that covers some of the same files is refused, as B2
      refuses it.
    type: str
    default: ""
  history_days:
    description: For how many days replaced and hidden versions are kept.
    type: int
    default: 30
  cancel_unfinished_days:
    description: After how many days an unfinished large file is cancelled. Until then it hides the
      good version of its file from restores of earlier nights.
    type: int
    default: 1
  encryption:
    description: Whether B2 also encrypts with a key of its own (SSE-B2). V(false) leaves the
      setting as it is. The backup is encrypted before it is sent in any case.
    type: bool
    default: false
  object_lock:
    description: Whether Object Lock is enabled. It can't be disabled again. V(false) leaves it as
      it is.
    type: bool
    default: false
  object_lock_days:
    description: For how many days new files can't be deleted (governance mode). V(0) sets no
      default retention. Needs O(object_lock=true).
    type: int
    default: 0
  allow_weaker:
    description: Whether a longer history or a longer lock than asked for is shortened.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Returns the settings before and after.
"""

EXAMPLES = r"""
- name: A bucket that keeps 30 days of history
  lepotato.backup.b2_bucket:
    name: my-potato-backup
    application_key_id: "{{ lepotato_backup_admin_key_id }}"
    application_key: "{{ lepotato_backup_admin_key }}"
  delegate_to: localhost
"""

RETURN = r"""
bucket:
  description: The settings, in check mode what they would be.
  returned: success
  type: dict
  contains:
    name:
      description: The bucket.
      type: str
    private:
      description: Whether it is private.
      type: bool
    rules:
      description: Its lifecycle rules, as B2 calls their fields.
      type: list
      elements: dict
    encryption:
      description: Whether B2 encrypts with a key of its own.
      type: bool
    object_lock:
      description: Whether Object Lock is enabled.
      type: bool
    lock_mode:
      description: The mode of the default retention. Empty is none.
      type: str
    lock_days:
      description: The days of the default retention. 0 is none.
      type: int
kept:
  description: What protects more than was asked for, and stays.
  returned: success
  type: list
  elements: str
"""

import traceback
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.lepotato.backup.plugins.module_utils.b2.bucket_rules import (
    Plan,
    Settings,
    Wanted,
    plan,
)
from ansible_collections.lepotato.backup.plugins.module_utils.base.errors import BackupError

try:
    from b2sdk import v2 as b2

    B2_IMPORT_ERROR = ""
except ImportError:
    B2_IMPORT_ERROR = traceback.format_exc()

DAYS_PER_YEAR = 365


def read_settings(bucket: Any) -> Settings:
    """What the bucket has; a key that may not read encryption or lock sees neither."""
    retention = bucket.default_retention
    period = retention.period if retention is not None else None
    lock_days = 0
    if period is not None and period.duration:
        lock_days = period.duration * (DAYS_PER_YEAR if period.unit == "years" else 1)
    encryption = bucket.default_server_side_encryption
    return Settings(
        private=bucket.type_ == "allPrivate",
        rules=tuple(dict(rule) for rule in bucket.lifecycle_rules or ()),
        encryption=encryption is not None and encryption.mode == b2.EncryptionMode.SSE_B2,
        object_lock=bool(bucket.is_file_lock_enabled),
        lock_mode=retention.mode.value if lock_days and retention.mode.value else "",
        lock_days=lock_days,
    )


def changes(before: Optional[Settings], after: Settings) -> Dict[str, Any]:
    """What differs, as arguments of b2sdk's Bucket.update."""
    old = before or Settings()
    arguments: Dict[str, Any] = {}
    if not old.private:
        arguments["bucket_type"] = "allPrivate"
    if old.rules != after.rules:
        arguments["lifecycle_rules"] = [dict(rule) for rule in after.rules]
    if old.encryption != after.encryption:
        arguments["default_server_side_encryption"] = b2.EncryptionSetting(
            mode=b2.EncryptionMode.SSE_B2, algorithm=b2.EncryptionAlgorithm.AES256
        )
    if old.object_lock != after.object_lock:
        arguments["is_file_lock_enabled"] = True
    if (old.lock_mode, old.lock_days) != (after.lock_mode, after.lock_days):
        arguments["default_retention"] = _retention(after)
    return arguments


def _retention(settings: Settings) -> Any:
    if not settings.lock_days:
        return b2.NO_RETENTION_BUCKET_SETTING
    return b2.BucketRetentionSetting(
        b2.RetentionMode(settings.lock_mode), b2.RetentionPeriod(days=settings.lock_days)
    )


def ensure(api: Any, module: AnsibleModule) -> Dict[str, Any]:
    """Look at the bucket, change what must be changed, and tell."""
    name = module.params["name"]
    found: List[Any] = list(api.list_buckets(bucket_name=name))
    before = read_settings(found[0]) if found else None
    planned: Plan = plan(before, wanted_of(module.params), module.params["allow_weaker"])
    arguments = changes(before, planned.settings)
    if not module.check_mode:
        if not found:
            lock = arguments.pop("is_file_lock_enabled", None)
            retention = arguments.pop("default_retention", None)
            bucket = api.create_bucket(name, "allPrivate", is_file_lock_enabled=lock, **arguments)
            if retention is not None:
                bucket.update(default_retention=retention)
        elif arguments:
            # Somebody else's change in between must not be undone.
            found[0].update(if_revision_is=found[0].revision, **arguments)
    after = {"name": name, **planned.settings.told()}
    return {
        "changed": not found or bool(arguments),
        "bucket": after,
        "kept": list(planned.kept),
        "diff": {
            "before": {"name": name, **before.told()} if before is not None else {},
            "after": after,
        },
    }


def wanted_of(params: Dict[str, Any]) -> Wanted:
    """What the module's arguments ask for."""
    return Wanted(
        history_days=params["history_days"],
        cancel_days=params["cancel_unfinished_days"],
        prefix=params["prefix"],
        encryption=params["encryption"],
        object_lock=params["object_lock"],
        lock_days=params["object_lock_days"],
    )


def check_numbers(module: AnsibleModule) -> None:
    """Fail on numbers that B2 would refuse, before anything is asked."""
    for name, minimum in (
        ("history_days", 1),
        ("cancel_unfinished_days", 1),
        ("object_lock_days", 0),
    ):
        if module.params[name] < minimum:
            module.fail_json(msg=f"{name} must be at least {minimum}, not {module.params[name]}")
    if module.params["object_lock_days"] and not module.params["object_lock"]:
        module.fail_json(msg="object_lock_days needs object_lock: true")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "application_key_id": {"type": "str", "required": True},
            "application_key": {"type": "str", "required": True, "no_log": True},
            "endpoint": {"type": "str", "default": ""},
            "prefix": {"type": "str", "default": ""},
            "history_days": {"type": "int", "default": 30},
            "cancel_unfinished_days": {"type": "int", "default": 1},
            "encryption": {"type": "bool", "default": False},
            "object_lock": {"type": "bool", "default": False},
            "object_lock_days": {"type": "int", "default": 0},
            "allow_weaker": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if B2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("b2sdk"), exception=B2_IMPORT_ERROR)
    check_numbers(module)
    api = b2.B2Api(b2.InMemoryAccountInfo())
    try:
        api.authorize_account(
            module.params["endpoint"] or "production",
            module.params["application_key_id"],
            module.params["application_key"],
        )
    except b2.exception.Unauthorized:
        module.fail_json(
            msg="B2 does not accept application_key_id and application_key: they are wrong, "
            "expired or revoked"
        )
    except b2.exception.B2Error as error:
        module.fail_json(msg=f"B2 can't be asked: {error}")
    try:
        result = ensure(api, module)
    except BackupError as error:
        module.fail_json(msg=f"The bucket '{module.params['name']}' stays as it is: {error}")
    except b2.exception.B2Error as error:
        module.fail_json(
            msg=f"B2 refused for the bucket '{module.params['name']}': {error}. The key needs "
            "listBuckets, readBuckets and writeBuckets"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
