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
author:
  - lepotato.backup contributors (@lepotato)
description:
  - Writes rclone's configuration with the B2 remote and the crypt remote over it, mode 0600 and owned by root.
  - The new content is proven before it replaces the old file. The proof asks B2 whether the key is right and may do
    what is needed in the bucket and below the prefix, and whether the names that are already there can be decrypted
    with the passwords.
  - If the proof fails the old file stays as it was.
  - Content that is the same as the file's asks B2 nothing and changes nothing.
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
attributes:
  check_mode:
    support: full
    description: Proves too, from a private temporary file, when O(binary) is there; otherwise says that it could not.
  diff_mode:
    support: full
    description: Shows the names of keys, and for secrets only whether they change.
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
      description: Whether nothing lies below the prefix yet, so that the passwords could not be proven.
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
