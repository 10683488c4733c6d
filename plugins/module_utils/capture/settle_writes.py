# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the cold pass right where times lie, and short where files are large.

rsync takes a file of equal size and time for unchanged. A write in the clock tick of the last
hot copy leaves the time as it is, and so do writes through a memory map to a page that is
already dirty. :func:`settle_writes` before a hot pass ends the latter: written-back pages are
write-protected, and the next write sets the time. What remains, files written in the tick before
the pass or during it, is noted while everything runs and compared byte by byte while it is down.

A large file of which a little changed is copied whole, and a service waits for it. Where the
file system can share blocks (btrfs, XFS), a clone takes no time, whatever the size.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from dataclasses import dataclass, field
from typing import Callable, Iterable, Iterator, List, NamedTuple, Tuple

from ..base.paths import is_below
from ..filesystem.same_bytes import same_bytes

# The kernel's coarse clock ticks every 1 to 10 ms (CONFIG_HZ 100 to 1000); twice the longest.
TICK_NS = 20 * 10**6

# Below this a copy takes less time than it is worth to remember the file.
LARGE_BYTES = 4 * 1024**2

_FICLONE = 0x40049409  # linux/fs.h

# What the kernel says when source and staging can't share blocks.
_CANNOT_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)


@dataclass
class Marks:
    """Files noted during the last hot pass, by path: written just then, and large ones."""

    recent: List[str] = field(default_factory=list)
    large: List[str] = field(default_factory=list)

    def of(self, paths: Iterable[str]) -> Marks:
        """Those of *paths* and below."""
        parents = tuple(paths)

        def inside(path: str) -> bool:
            return any(is_below(path, parent) for parent in parents)

        return Marks(list(filter(inside, self.recent)), list(filter(inside, self.large)))


class Prepared(NamedTuple):
    """What was done before a cold pass: files that must be copied again, clones, their bytes."""

    recopied: int = 0
    cloned: int = 0
    cloned_bytes: int = 0


def settle_writes() -> None:
    """Have the kernel write back every dirty page, so that each later write sets a time."""
    os.sync()


def note_files(paths: Iterable[str], pass_began_ns: int) -> Marks:
    """Walk *paths* and note what :func:`prepare_cold` has to look at.

    *pass_began_ns* is the wall clock, in nanoseconds, before the pass. Files that go away
    meanwhile are left out.
    """
    marks = Marks()
    for path, found in _regular_files(paths):
        if found.st_mtime_ns >= pass_began_ns - TICK_NS:
            marks.recent.append(path)
        if found.st_size >= LARGE_BYTES and found.st_nlink == 1:
            marks.large.append(path)
    return marks


def prepare_cold(
    marks: Marks, destination: str, where: Callable[[str], str] = lambda path: path
) -> Prepared:
    """Look at the noted files, now that nothing writes them; *destination* holds full paths.

    *where* gives the place to read a file from, where that is a snapshot. A staged file that only
    seems equal is removed, so that rsync copies it; a large one that changed is replaced by a
    clone where that is possible, and rsync only sets its attributes. Snapshots' hard links to the
    staged files stay as they are.
    """
    recopied = 0
    for noted in marks.recent:
        path, staged = where(noted), destination + noted
        if _seems_equal(path, staged) and not same_bytes(path, staged):
            _let_rsync_replace(staged)
            recopied += 1
    cloned, cloned_bytes = 0, 0
    for noted in marks.large:
        path, staged = where(noted), destination + noted
        if not os.path.isfile(staged) or not os.path.isfile(path) or _seems_equal(path, staged):
            continue
        if not _clone(path, staged):
            break
        cloned += 1
        cloned_bytes += os.path.getsize(staged)
    return Prepared(recopied, cloned, cloned_bytes)


def _let_rsync_replace(staged: str) -> None:
    """Make *staged* look older, so that rsync copies it and a new inode holds the new content.

    Removed, it would give its inode back, and the same number with the same size and time but
    other content is what the manifest calls damage. A snapshot's hard link keeps both.
    """
    if os.lstat(staged).st_nlink == 1:
        os.utime(staged, ns=(0, 0))
    else:
        os.unlink(staged)


def _regular_files(paths: Iterable[str]) -> Iterator[Tuple[str, os.stat_result]]:
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            yield entry.path, entry.stat(follow_symlinks=False)
            elif stat.S_ISREG(found.st_mode):
                yield path, found
        except FileNotFoundError:
            continue


def _seems_equal(path: str, staged: str) -> bool:
    """Whether rsync would take the two for equal."""
    try:
        one, other = os.lstat(path), os.lstat(staged)
    except OSError:
        return False
    return (
        stat.S_ISREG(one.st_mode)
        and stat.S_ISREG(other.st_mode)
        and (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
    )


def _clone(path: str, staged: str) -> bool:
    """Replace *staged* by a clone of *path*; False where the file system can't."""
    directory, name = os.path.split(staged)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=directory)
    try:
        with open(path, "rb") as source:
            before = os.fstat(source.fileno())
            fcntl.ioctl(descriptor, _FICLONE, source.fileno())
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(temporary, staged)
    except OSError as error:
        os.unlink(temporary)
        if error.errno in _CANNOT_CLONE:
            return False
        raise
    finally:
        os.close(descriptor)
    return True
