# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels: carriers, lists, changes, rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Tuple

import pytest

from ansible_collections.lepotato.backup.plugins.module_utils.manifest.carriers import (
    CarrierResult,
    carrier_name,
    plan_carriers,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.model import select_below
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.travelling import (
    DELETE,
    UPLOAD,
    iter_download_paths,
    iter_upload_changes,
    iter_upload_paths,
)
from ansible_collections.lepotato.backup.plugins.module_utils.manifest.walk import write_manifest

ODD = b"tree/odd\n"
CARRIER = b".carrier/" + carrier_name(ODD).encode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "daily"
    (root / "tree").mkdir(parents=True)
    for name in ("leader", "plain"):
        (root / "tree" / name).write_text(name)
    Path(os.fsdecode(os.fsencode(root) + b"/" + ODD)).write_text("odd")
    os.link(root / "tree/leader", root / "tree/member")
    os.link(os.fsencode(root) + b"/" + ODD, root / "tree/odd member")
    (root / "tree/link").symlink_to("plain")
    return root


def describe(tree: Path, name: str = "manifest.gz") -> Path:
    manifest = tree.parent / name
    write_manifest(tree, manifest)
    return manifest


def test_each_content_travels_once(tree: Path) -> None:
    manifest = describe(tree)
    assert list(iter_upload_paths(manifest)) == [b"tree/leader", CARRIER, b"tree/plain"]


def test_downloads_of_a_part_bring_foreign_leaders_once(tree: Path) -> None:
    os.link(tree / "tree/leader", tree / "tree/member 2")
    manifest = describe(tree)
    assert list(iter_download_paths(manifest)) == list(iter_upload_paths(manifest))
    select = select_below(b"tree/member", b"tree/member 2", b"tree/odd member", b"tree/link")
    assert list(iter_download_paths(manifest, select)) == [b"tree/leader", CARRIER]


def test_carriers_are_links_made_kept_replaced_and_removed(tree: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tree) + b"/" + ODD))
    carrier = Path(os.fsdecode(os.fsencode(tree) + b"/" + CARRIER))
    assert plan_carriers(tree, describe(tree)) == CarrierResult(1, 1, 0)
    assert carrier.samefile(odd)
    assert plan_carriers(tree, describe(tree)) == CarrierResult(1, 0, 0)
    # rsync puts a new inode in place; an interrupted run left its temporary name.
    odd.unlink()
    odd.write_text("new")
    carrier.with_name(carrier.name + ".new").write_text("left over")
    assert plan_carriers(tree, describe(tree)) == CarrierResult(1, 1, 0)
    assert carrier.read_text() == "new"
    assert os.listdir(carrier.parent) == [carrier.name]
    odd.unlink()
    (tree / "tree/odd member").unlink()
    assert plan_carriers(tree, describe(tree)) == CarrierResult(0, 0, 1)
    assert not carrier.parent.exists()


def test_a_carrier_that_cannot_be_linked_is_a_copy(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many_links(*_arguments: object, **_options: object) -> None:
        raise OSError(31, "Too many links")

    manifest = describe(tree)
    monkeypatch.setattr(os, "link", too_many_links)
    assert plan_carriers(tree, manifest) == CarrierResult(1, 1, 0)
    assert plan_carriers(tree, manifest) == CarrierResult(1, 0, 0)
    carrier = Path(os.fsdecode(os.fsencode(tree) + b"/" + CARRIER))
    assert carrier.read_text() == "odd"
    assert carrier.stat().st_nlink == 1


def test_changes_lead_from_one_manifest_to_the_next(tree: Path) -> None:
    before = describe(tree, "before.gz")
    everything = [(UPLOAD, path) for path in iter_upload_paths(before)]
    assert list(iter_upload_changes(None, before)) == everything
    assert list(iter_upload_changes(before, before)) == []
    (tree / "tree/plain").write_text("other")
    (tree / "tree/plain").chmod(0o600)
    (tree / "tree/leader").unlink()
    (tree / "tree/new").write_text("new")
    os.link(tree / "tree/new", tree / "tree/a new leader")
    os.unlink(os.fsencode(tree) + b"/" + ODD)
    after = describe(tree, "after.gz")
    changes: List[Tuple[str, bytes]] = list(iter_upload_changes(before, after))
    assert changes == [
        (UPLOAD, b"tree/a new leader"),
        (DELETE, b"tree/leader"),
        (UPLOAD, b"tree/member"),
        (DELETE, CARRIER),
        (UPLOAD, b"tree/odd member"),
        (UPLOAD, b"tree/plain"),
    ]
    held = set(iter_upload_paths(before))
    for what, path in changes:
        held = held | {path} if what == UPLOAD else held - {path}
    assert held == set(iter_upload_paths(after))


def test_a_changed_mode_alone_sends_nothing(tree: Path) -> None:
    before = describe(tree, "before.gz")
    (tree / "tree/plain").chmod(0o4711)
    assert list(iter_upload_changes(before, describe(tree, "after.gz"))) == []
