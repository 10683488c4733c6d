# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.board_identity import (
    board_identity,
)


def _file(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def _card(root: Path, name: str, address: str, *, is_hardware: bool = True) -> None:
    _file(root, f"sys/class/net/{name}/address", address + "\n")
    if is_hardware:
        (root / f"sys/class/net/{name}/device").mkdir()


def test_a_cloned_card_on_other_hardware_is_another_board(tmp_path: Path) -> None:
    for name, serial in (("one", "aa11\0"), ("two", "bb22\0")):
        _file(tmp_path / name, "etc/machine-id", "0123456789abcdef\n")
        _file(tmp_path / name, "sys/firmware/devicetree/base/serial-number", serial)
    one, two = (board_identity(str(tmp_path / name)) for name in ("one", "two"))
    assert one != two
    assert len(one) == len(two) == 16


def test_without_a_serial_number_the_network_cards_count_and_what_software_made_does_not(
    tmp_path: Path,
) -> None:
    _file(tmp_path, "etc/machine-id", "0123456789abcdef\n")
    bare = board_identity(str(tmp_path))
    _card(tmp_path, "eth0", "00:11:22:33:44:55")
    with_card = board_identity(str(tmp_path))
    _card(tmp_path, "docker0", "00:42:ac:11:00:02", is_hardware=False)
    _card(tmp_path, "usb0", "02:11:22:33:44:56")
    assert bare != with_card == board_identity(str(tmp_path))


def test_a_new_system_on_the_same_hardware_is_another_one(tmp_path: Path) -> None:
    _file(tmp_path, "sys/firmware/devicetree/base/serial-number", "aa11")
    found = set()
    for text in ("one", "two"):
        _file(tmp_path, "etc/machine-id", text)
        found.add(board_identity(str(tmp_path)))
    assert len(found) == 2


def test_where_nothing_can_be_read_there_is_no_name(tmp_path: Path) -> None:
    assert board_identity(str(tmp_path)) == ""
