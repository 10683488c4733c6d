# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: everything about a tree that object storage does not keep.

The API, by module (paths inside a manifest are bytes, relative to the described root):

``model``
    :class:`Entry`, :func:`content_path`, :func:`sort_key`, :class:`ManifestError`.
``file``
    ``read_entries(path) -> Iterator[Entry]``, ``check_manifest(path) -> ManifestSummary``,
    :class:`ManifestReader` with the ``header``, :class:`ManifestWriter`.
``walk``
    ``write_manifest(root, path, previous=None, ...) -> WalkResult`` and
    ``walk_entries(root, ...) -> Iterator[Entry]``.
``hard_links``
    ``link_window(file)``: tells the next walk about ctimes that our own links changed.
``carriers``
    ``plan_carriers(root, manifest) -> CarrierResult``, ``iter_upload_paths(manifest)``,
    ``iter_upload_changes(previous, current)``, ``iter_odd_paths(manifest)``.
``apply``
    ``apply_manifest(manifest, target, select=None, ...) -> ApplyResult``.
``compare``
    ``differences(expected, found) -> Iterator[Difference]``,
    ``compare_tree(manifest, root, ...) -> CompareResult``.

The format: gzip'd JSON lines in ASCII. The first line is the header (format, version and what
the caller adds), then one line an entry, then the footer with counts and the SHA-256 of all
lines before it, so that a cut or changed manifest is recognised. Bytes that are not UTF-8
travel as lone surrogates (Python's surrogateescape), which is exact in both directions.

Entries come in one order: paths compared component by component, bytes by value, a directory
before what it holds. Two manifests, or a manifest and a walk, are merged in that order, so
nothing here holds more than a few entries at a time. The same tree gives the same bytes.
"""

from __future__ import annotations

import base64
import json
import re
from os import PathLike
from typing import Any, Callable, Dict, Iterable, Iterator, NamedTuple, Optional, Tuple, Union

from ..base.errors import BackupError

FILE = "file"
DIRECTORY = "directory"
SYMLINK = "symlink"
FIFO = "fifo"
CHARACTER_DEVICE = "char"
BLOCK_DEVICE = "block"
DEVICES = frozenset((CHARACTER_DEVICE, BLOCK_DEVICE))
# Sockets are noted, not restored: the service that listens makes its own at start.
SOCKET = "socket"
TYPES = frozenset((FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER_DEVICE, BLOCK_DEVICE, SOCKET))

# Where the content of files with odd names travels, beside the trees (see manifest_carrier).
CARRIER_DIRECTORY = b".carrier"

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
encode_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

AnyPath = Union[str, bytes, PathLike[str]]
Select = Callable[[bytes], bool]


class ManifestError(BackupError):
    """A manifest is cut, damaged, unsafe or of another format."""


class Entry(NamedTuple):
    """One name in a tree. ``mode`` holds the permission bits with setuid, setgid and sticky.

    ``link`` is the path of the first name of the same hard-link group in order (the leader);
    None for the leader itself and for files with one name. ``carrier`` is the name in the
    carrier directory under which the content travels, "" when it travels under its own path
    (or its leader's). ``inode`` and ``ctime_ns`` only serve the next walk. The device number
    of the file system is not recorded: it changes when a USB disk is plugged in again.
    """

    path: bytes
    type: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    sha256: str = ""
    target: Optional[bytes] = None
    xattrs: Tuple[Tuple[bytes, bytes], ...] = ()
    link: Optional[bytes] = None
    carrier: str = ""
    device: Optional[Tuple[int, int]] = None
    sparse: bool = False
    inode: int = 0
    ctime_ns: int = 0


def sort_key(path: bytes) -> bytes:
    """A key that orders paths by component: NUL, which no name holds, sorts before all bytes."""
    return path.replace(b"/", b"\0")


def merged(
    left: Iterable[Entry], right: Iterable[Entry]
) -> Iterator[Tuple[Optional[Entry], Optional[Entry]]]:
    """Pair two streams of entries by path; None stands for the side that lacks a path."""
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        if other is None or (one is not None and sort_key(one.path) < sort_key(other.path)):
            yield one, None
            one = next(lefts, None)
        elif one is None or sort_key(other.path) < sort_key(one.path):
            yield None, other
            other = next(rights, None)
        else:
            yield one, other
            one, other = next(lefts, None), next(rights, None)


def content_path(entry: Entry) -> bytes:
    """The path, relative to the described root, under which a file's content travels."""
    if entry.carrier:
        return CARRIER_DIRECTORY + b"/" + entry.carrier.encode("ascii")
    return entry.path if entry.link is None else entry.link


def is_safe_path(path: bytes) -> bool:
    """Whether *path* is relative and stays below its root: no empty, ``.`` or ``..`` part."""
    if b"\0" in path:
        return False
    return all(part not in (b"", b".", b"..") for part in path.split(b"/"))


def select_below(*paths: bytes) -> Select:
    """A predicate that accepts *paths* themselves and everything below them."""
    wanted = tuple(path.strip(b"/") for path in paths)
    below = tuple(path + b"/" for path in wanted)
    return lambda path: path in wanted or path.startswith(below)


def to_text(data: bytes) -> str:
    """Bytes as text for JSON and messages; :func:`to_bytes` gives the same bytes back."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The opposite of :func:`to_text`; raises UnicodeEncodeError for other lone surrogates."""
    return text.encode("utf-8", "surrogateescape")


def encode_entry(entry: Entry) -> bytes:
    """*entry* as one line of JSON with its newline; keys at their default value are left out."""
    fields: Dict[str, Any] = {
        "path": to_text(entry.path),
        "type": entry.type,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime_ns": entry.mtime_ns,
    }
    if entry.type == FILE:
        fields["size"] = entry.size
        fields["sha256"] = entry.sha256
        fields["inode"] = entry.inode
        fields["ctime_ns"] = entry.ctime_ns
        if entry.sparse:
            fields["sparse"] = True
        if entry.carrier:
            fields["carrier"] = entry.carrier
    if entry.target is not None:
        fields["target"] = to_text(entry.target)
    if entry.link is not None:
        fields["link"] = to_text(entry.link)
    if entry.device is not None:
        fields["device"] = entry.device
    if entry.xattrs:
        fields["xattrs"] = {
            to_text(name): base64.b64encode(value).decode("ascii") for name, value in entry.xattrs
        }
    return encode_json(fields).encode("ascii") + b"\n"


def decode_entry(line: bytes) -> Entry:
    """The opposite of :func:`encode_entry`.

    Raises :class:`ManifestError` for anything a walk could not have written, unsafe paths
    (absolute, ``..``) included.
    """
    try:
        fields = json.loads(line)
        device = fields.get("device")
        entry = Entry(
            path=to_bytes(fields["path"]),
            type=fields["type"],
            mode=int(fields["mode"], 8),
            uid=int(fields["uid"]),
            gid=int(fields["gid"]),
            mtime_ns=int(fields["mtime_ns"]),
            size=int(fields.get("size", 0)),
            sha256=fields.get("sha256", ""),
            target=to_bytes(fields["target"]) if "target" in fields else None,
            xattrs=tuple(
                (to_bytes(name), base64.b64decode(value, validate=True))
                for name, value in fields.get("xattrs", {}).items()
            ),
            link=to_bytes(fields["link"]) if "link" in fields else None,
            carrier=fields.get("carrier", ""),
            device=(int(device[0]), int(device[1])) if device is not None else None,
            sparse=bool(fields.get("sparse", False)),
            inode=int(fields.get("inode", 0)),
            ctime_ns=int(fields.get("ctime_ns", 0)),
        )
        _check_entry(entry)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ManifestError(f"not a manifest entry ({error}): {line[:200]!r}") from error
    return entry


def _check_entry(entry: Entry) -> None:
    """Raise ValueError for an entry that no walk writes or that would lead out of the target."""
    if not is_safe_path(entry.path) or entry.path.split(b"/", 1)[0] == CARRIER_DIRECTORY:
        raise ValueError("unsafe path")
    if entry.type not in TYPES:
        raise ValueError("unknown type")
    if not 0 <= entry.mode <= 0o7777 or min(entry.size, entry.uid, entry.gid) < 0:
        raise ValueError("number out of range")
    if entry.link is not None and not _is_before(entry.link, entry.path):
        raise ValueError("unsafe link")
    if (entry.type == SYMLINK) != bool(entry.target):
        raise ValueError("a symlink and only a symlink has a target")
    if (entry.type in DEVICES) != (entry.device is not None):
        raise ValueError("a device and only a device has device numbers")
    if entry.type == FILE and not _HEX_SHA256.match(entry.sha256):
        raise ValueError("no SHA-256")
    if entry.carrier and not (entry.type == FILE and _HEX_SHA256.match(entry.carrier)):
        raise ValueError("unsafe carrier")


def _is_before(leader: bytes, member: bytes) -> bool:
    return is_safe_path(leader) and sort_key(leader) < sort_key(member)
