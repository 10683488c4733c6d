# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``rclone_obscure``; its documentation is in rclone_obscure.yml."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Callable, Dict

from ansible.errors import AnsibleFilterError

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    CRYPTOGRAPHY_ERROR = None
except ImportError as error:
    CRYPTOGRAPHY_ERROR = error

# The key that rclone publishes (fs/config/obscure/obscure.go): it hides a password from a glance
# over the shoulder and from nothing else. The file's mode 0600 is what protects it.
RCLONE_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
IV_BYTES = 16
# Separates this use of HMAC from any other use of the same password.
IV_LABEL = b"lepotato.backup rclone_obscure iv "


def rclone_obscure(password: object, context: str = "") -> str:
    """Obscure *password* as ``rclone obscure`` does, but always with the same result.

    rclone takes a random IV; here it is an HMAC of *context* under the password, so a template
    gives the same file on every run. Two contexts give two texts for one password.
    Raises AnsibleFilterError for anything but a string that is not empty.
    """
    if CRYPTOGRAPHY_ERROR is not None:
        raise AnsibleFilterError(
            "rclone_obscure needs the Python package 'cryptography' on the control node "
            f"(ansible-core brings it): {CRYPTOGRAPHY_ERROR}"
        )
    # ansible-core before 2.19 hands an inline !vault value over as an object of its own.
    if getattr(password, "__ENCRYPTED__", False):
        password = str(password)
    if not isinstance(password, str):
        raise AnsibleFilterError(
            f"rclone_obscure takes a string, not {type(password).__name__}: put the password in "
            "quotes in vault.yml"
        )
    if not password:
        raise AnsibleFilterError(
            "rclone_obscure got an empty password: set lepotato_backup_password and "
            "lepotato_backup_password2 in group_vars/potato/vault.yml"
        )
    try:
        plain = password.encode("utf-8")
    except UnicodeEncodeError:
        # "from None": the original error's text holds the password.
        raise AnsibleFilterError("rclone_obscure got a password that is not valid UTF-8") from None
    iv = hmac.new(plain, IV_LABEL + context.encode("utf-8"), hashlib.sha256).digest()[:IV_BYTES]
    encryptor = Cipher(algorithms.AES(RCLONE_KEY), modes.CTR(iv)).encryptor()
    hidden = iv + encryptor.update(plain) + encryptor.finalize()
    return base64.urlsafe_b64encode(hidden).rstrip(b"=").decode("ascii")


class FilterModule:
    """What Ansible asks for filters."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"rclone_obscure": rclone_obscure}
