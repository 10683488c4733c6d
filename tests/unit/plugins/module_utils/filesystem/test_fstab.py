# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.lepotato.backup.plugins.module_utils.filesystem.fstab import (
    FstabEntry,
    drop_entry,
    entry_for,
    put_entry,
)

TABLE = """# <file system> <mount point>
UUID=11-22 /        ext4 defaults 0 1
# /old.img /mnt/ssd/staging ext4 loop 0 0

UUID=33-44\t/mnt/ssd\text4\tnofail\t0\t2
tmpfs /tmp"""

ENTRY = FstabEntry("/mnt/ssd/s.img", "/mnt/ssd/staging", "ext4", "loop,nofail")


def test_an_entry_is_added_replaced_and_taken_out_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "fstab"
    path.write_text(TABLE)
    path.chmod(0o640)
    assert entry_for("/mnt/ssd/staging", str(path)) is None
    put_entry(ENTRY, str(path))
    assert path.read_text() == f"{TABLE}\n{ENTRY.as_line()}"
    assert entry_for("/mnt/ssd/staging", str(path)) == ENTRY
    other = ENTRY._replace(options="loop")
    put_entry(other, str(path))
    put_entry(other, str(path))
    assert path.read_text() == f"{TABLE}\n{other.as_line()}"
    assert path.stat().st_mode & 0o777 == 0o640
    drop_entry("/mnt/ssd/staging", str(path))
    assert path.read_text() == f"{TABLE}\n"


def test_other_entries_are_read(tmp_path: Path) -> None:
    path = tmp_path / "fstab"
    path.write_text(TABLE)
    ssd = entry_for("/mnt/ssd", str(path))
    assert ssd == FstabEntry("UUID=33-44", "/mnt/ssd", "ext4", "nofail")
    # Too few fields for a mount.
    assert entry_for("/tmp", str(path)) is None
    assert entry_for("/", str(tmp_path / "none")) is None
