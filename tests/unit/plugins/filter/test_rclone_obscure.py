# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The obscured text is what rclone understands, the same every time, and never from nothing."""

from __future__ import annotations

import base64

import pytest
from ansible.errors import AnsibleFilterError
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ansible_collections.lepotato.backup.plugins.filter.rclone_obscure import (
    RCLONE_KEY,
    FilterModule,
    rclone_obscure,
)

PASSWORDS = [
    "x",
    "correct horse battery staple",
    "  leading and trailing  ",
    "Pässwörter 🥔 漢字",
    "-starts-with-a-dash",
    "quotes ' \" and \\ and $HOME and {{ braces }}",
    "a" * 15,
    "a" * 16,
    "a" * 17,
    "long " * 1000,
    "line\nfeed",
]


def reveal(obscured: str) -> str:
    """rclone's Reveal (fs/config/obscure/obscure.go): IV first, then AES-256-CTR."""
    raw = base64.urlsafe_b64decode(obscured + "=" * (-len(obscured) % 4))
    decryptor = Cipher(algorithms.AES(RCLONE_KEY), modes.CTR(raw[:16])).decryptor()
    return (decryptor.update(raw[16:]) + decryptor.finalize()).decode("utf-8")


# From rclone's own obscure_test.go: the key and the format are right.
@pytest.mark.parametrize(
    ("obscured", "plain"),
    [
        ("YWFhYWFhYWFhYWFhYWFhYQ", ""),
        ("YWFhYWFhYWFhYWFhYWFhYXMaGgIlEQ", "potato"),
        ("YmJiYmJiYmJiYmJiYmJiYp3gcEWbAw", "potato"),
    ],
)
def test_rclones_own_vectors(obscured: str, plain: str) -> None:
    assert reveal(obscured) == plain


@pytest.mark.parametrize("password", PASSWORDS)
def test_comes_back(password: str) -> None:
    assert reveal(rclone_obscure(password, "b2-encrypted.password")) == password


@pytest.mark.parametrize("password", PASSWORDS)
def test_is_the_same_every_time(password: str) -> None:
    assert rclone_obscure(password, "here") == rclone_obscure(password, "here")


def test_result_is_pinned() -> None:
    # A change of the derivation would rewrite every host's rclone.conf.
    assert rclone_obscure("potato", "b2-encrypted.password") == "m--GsnWHvUeoxlAFaMr8TaoIxlYPgw"


def test_context_and_password_change_all_of_it() -> None:
    texts = {
        rclone_obscure("potato", "one")[:22],
        rclone_obscure("potato", "two")[:22],
        rclone_obscure("potatO", "one")[:22],
    }
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "lepotato_backup_password"),
        (None, "NoneType"),
        (12345, "int"),
        (["a"], "list"),
        ("half a surrogate \udcff", "UTF-8"),
    ],
)
def test_refuses(value: object, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        rclone_obscure(value)


def test_error_does_not_show_the_password() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        rclone_obscure("hunter2 \udcff")
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_vault_value_of_older_ansible_is_text() -> None:
    class VaultValue:
        __ENCRYPTED__ = True

        def __str__(self) -> str:
            return "potato"

    assert rclone_obscure(VaultValue()) == rclone_obscure("potato")


def test_filter_is_offered() -> None:
    assert FilterModule().filters()["rclone_obscure"] is rclone_obscure
