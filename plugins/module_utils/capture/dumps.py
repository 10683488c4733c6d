# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consistent dumps of databases, made while the service runs.

A dump lands at ``STAGING/daily/dumps/CONTAINER/NAME`` only when it is complete: it is written
beside staging, checked, and then moved into place.

======== ======================================== =====================================
kind     made with                                 complete when
======== ======================================== =====================================
postgres ``pg_dump -Fc`` of one database, or       the whole archive can be read back;
          ``pg_dumpall`` (gzip) of the cluster      its last line says so
mysql    ``mariadb-dump``/``mysqldump`` (gzip)     its last line says so
sqlite   SQLite's backup API on the volume         ``PRAGMA integrity_check`` says ok
command  any command's standard output             exit code 0 and not empty
======== ======================================== =====================================
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import sqlite3
import time
from typing import (
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..base.errors import BackupError, ConfigError
from ..base.paths import is_below
from ..config.schema import Dump
from ..docker.container import Container
from ..docker.engine import DockerClient, DockerError
from ..docker.stop_choice import PlannedDump
from ..docker.stream import discard
from ..filesystem.same_bytes import same_bytes

DUMPS_TREE = "dumps"
PARTIAL_DIRECTORY = ".dumps-partial"

# Text dumps shrink by a factor of five to ten and the uplink is what is slow; beyond level 6 the
# board's cores are.
GZIP_LEVEL = 6
TAIL_BYTES = 4096

# How long SQLite waits for a writer's lock.
SQLITE_BUSY_SECONDS = 60.0

POSTGRES_TRAILER = re.compile(rb"^-- PostgreSQL database cluster dump complete\s*$", re.MULTILINE)
MYSQL_TRAILER = re.compile(rb"^-- Dump completed", re.MULTILINE)

# Inside the container: the official images' variables name the user and hold the password or
# the file with it, and neither leaves the container. pg_dump asks over the local socket.
_POSTGRES_PREAMBLE = (
    'user="$1"; : "${user:=${POSTGRES_USER:-postgres}}"; '
    'if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then '
    'PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"; '
    'else PGPASSWORD="${POSTGRES_PASSWORD:-}"; fi; export PGPASSWORD; '
)
_POSTGRES_ONE = _POSTGRES_PREAMBLE + (
    'exec pg_dump --no-password --format=custom --username="$user" --dbname="$2"'
)
_POSTGRES_ALL = _POSTGRES_PREAMBLE + 'exec pg_dumpall --no-password --username="$user"'
# Reads the whole archive, each block of data, and writes nothing.
_POSTGRES_CHECK = "exec pg_restore --file=/dev/null"
_MYSQL = (
    'user="$1"; : "${user:=root}"; '
    'file="${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}"; '
    'if [ -n "$file" ]; then MYSQL_PWD="$(cat "$file")"; '
    'else MYSQL_PWD="${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}"; fi; '
    "export MYSQL_PWD; "
    'tool="$(command -v mariadb-dump || command -v mysqldump)" || '
    '{ echo "neither mariadb-dump nor mysqldump is in this container" >&2; exit 127; }; '
    'if [ -n "$2" ]; then set -- "$user" --databases "$2"; '
    'else set -- "$user" --all-databases; fi; '
    'shift; exec "$tool" --user="$user" --single-transaction --quick --routines --events '
    '--triggers --skip-dump-date "$@"'
)


class DumpResult(NamedTuple):
    """One dump: *path* below the dumps tree, its size in bytes, seconds it took."""

    container: str
    path: str
    size_bytes: int
    seconds: float


def file_name(dump: Dump) -> str:
    """The file that a dump lands in."""
    if dump.kind == "postgres":
        return f"{_safe(dump.database)}.pgdump" if dump.database else "all.sql.gz"
    if dump.kind == "mysql":
        return f"{_safe(dump.database) or 'all'}.sql.gz"
    if dump.kind == "sqlite":
        return _safe(dump.path.strip("/"))
    return "command.out"


def check_names(planned: Iterable[PlannedDump]) -> None:
    """Raise :class:`ConfigError` when two dumps would land in one file."""
    seen: Dict[Tuple[str, str], Dump] = {}
    for container, dump in planned:
        key = (container.name, file_name(dump))
        if key in seen:
            raise ConfigError(
                f"containers.dumps: two dumps of {container.name} land in {key[1]}",
                "Keep one of them, or make one command of both",
            )
        seen[key] = dump


def make_dump(docker: DockerClient, planned: PlannedDump, staging: str) -> DumpResult:
    """Make one dump and put it in place of the last one.

    Raises :class:`BackupError` naming the container when it fails or is not complete; the last
    dump stays as it was.
    """
    container, dump = planned
    relative = os.path.join(container.name, file_name(dump))
    began = time.monotonic()
    try:
        if container.status == "paused":
            raise BackupError("the container is paused")
        with _partial(staging) as partial:
            _KINDS[dump.kind](docker, container, dump, partial)
            size_bytes = os.path.getsize(partial)
            if not size_bytes:
                raise BackupError("the dump is empty")
            target = os.path.join(staging, "daily", DUMPS_TREE, relative)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            # An equal dump keeps the old file with its time, so that it is not uploaded again.
            if not (os.path.isfile(target) and same_bytes(partial, target)):
                _sync(partial)
                os.replace(partial, target)
    except DockerError as error:
        raise _failed(planned, error.message) from error
    except (OSError, sqlite3.Error) as error:
        raise _failed(planned, str(error)) from error
    except BackupError as error:
        raise _failed(planned, error.message) from error
    return DumpResult(container.name, relative, size_bytes, time.monotonic() - began)


def prune_dumps(planned: Sequence[PlannedDump], staging: str) -> List[str]:
    """Remove staged dumps that are not made any more; return their paths below the tree.

    A dump of an earlier night that nothing renews would pass for tonight's.
    """
    # What a run that was killed left of a dump.
    shutil.rmtree(os.path.join(staging, PARTIAL_DIRECTORY), ignore_errors=True)
    root = os.path.join(staging, "daily", DUMPS_TREE)
    wanted = {os.path.join(item.container.name, file_name(item.dump)) for item in planned}
    removed = []
    for directory, _names, files in os.walk(root, topdown=False):
        for name in files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if relative not in wanted:
                os.unlink(path)
                removed.append(relative)
        if directory != root and not os.listdir(directory):
            os.rmdir(directory)
    return sorted(removed)


def _postgres(docker: DockerClient, container: Container, dump: Dump, partial: str) -> None:
    if not dump.database:
        _text_dump(docker, container, dump, partial, _POSTGRES_ALL, POSTGRES_TRAILER)
        return
    with open(partial, "wb") as stream:
        _shell(docker, container, dump, _POSTGRES_ONE, stream.write)
    with open(partial, "rb") as stream:
        _shell(docker, container, dump, _POSTGRES_CHECK, discard, stdin=stream)


def _mysql(docker: DockerClient, container: Container, dump: Dump, partial: str) -> None:
    _text_dump(docker, container, dump, partial, _MYSQL, MYSQL_TRAILER)


def _text_dump(
    docker: DockerClient,
    container: Container,
    dump: Dump,
    partial: str,
    script: str,
    trailer: re.Pattern[bytes],
) -> None:
    tail = bytearray()
    with (
        open(partial, "wb") as raw,
        gzip.GzipFile(
            filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0
        ) as stream,
    ):

        def write(chunk: bytes) -> None:
            stream.write(chunk)
            tail.extend(chunk)
            del tail[:-TAIL_BYTES]

        _shell(docker, container, dump, script, write)
    if not trailer.search(bytes(tail)):
        raise BackupError("the dump is not complete: its last line is missing")


def _sqlite(docker: DockerClient, container: Container, dump: Dump, partial: str) -> None:
    del docker  # SQLite's locks work across containers: they share the host's kernel.
    path = host_path(container, dump.path)
    if not os.path.isfile(path):
        raise BackupError(f"there is no database {dump.path} (on the host {path})")
    uri = "file:" + _uri_quoted(path) + "?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True, timeout=SQLITE_BUSY_SECONDS)) as source,
        contextlib.closing(sqlite3.connect(partial)) as target,
    ):
        # In one step: in several, each write in between starts the copy over.
        source.backup(target, pages=-1)
        # The copy of a database in WAL mode is in WAL mode too: as one file it is complete.
        target.execute("PRAGMA journal_mode = DELETE")
        answer = target.execute("PRAGMA integrity_check").fetchall()
    if answer != [("ok",)]:
        raise BackupError(f"the copy of {dump.path} is damaged: {answer[0][0]}")


def _command(docker: DockerClient, container: Container, dump: Dump, partial: str) -> None:
    with open(partial, "wb") as stream:
        _run(docker, container, dump, dump.command, stream.write)


_KINDS: Dict[str, Callable[[DockerClient, Container, Dump, str], None]] = {
    "postgres": _postgres,
    "mysql": _mysql,
    "sqlite": _sqlite,
    "command": _command,
}


def host_path(container: Container, path: str) -> str:
    """Where a path inside *container* lies on the host.

    Raises :class:`BackupError` when no mount holds it.
    """
    normal = os.path.normpath(path)
    mounts = [mount for mount in container.mounts if is_below(normal, mount.destination)]
    if not mounts:
        raise BackupError(f"{path} is on no volume or bind mount: use a dump of kind command")
    mount = max(mounts, key=lambda item: len(item.destination))
    return os.path.normpath(
        os.path.join(mount.sources[-1], os.path.relpath(normal, mount.destination))
    )


def _shell(
    docker: DockerClient,
    container: Container,
    dump: Dump,
    script: str,
    output: Callable[[bytes], object],
    stdin: Optional[BinaryIO] = None,
) -> None:
    argv = ("/bin/sh", "-c", script, "dump", dump.user, dump.database)
    _run(docker, container, dump, argv, output, stdin)


def _run(
    docker: DockerClient,
    container: Container,
    dump: Dump,
    argv: Sequence[str],
    output: Callable[[bytes], object],
    stdin: Optional[BinaryIO] = None,
) -> None:
    result = docker.exec(
        container.id,
        argv,
        timeout_seconds=dump.timeout_seconds,
        output=output,
        stdin=stdin,
    )
    if result.exit_code != 0:
        raise BackupError(f"exit code {result.exit_code}: {result.stderr or '(no message)'}")


def _failed(planned: PlannedDump, reason: str) -> BackupError:
    return BackupError(
        f"the {planned.dump.kind} dump of container {planned.container.name} failed: {reason}",
        "The service keeps running; see containers.dumps or the label lepotato.backup.dump",
    )


@contextlib.contextmanager
def _partial(staging: str) -> Iterator[str]:
    """A file beside staging's daily tree that is gone afterwards, unless it was moved."""
    directory = os.path.join(staging, PARTIAL_DIRECTORY)
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, mode=0o700)
    try:
        yield os.path.join(directory, "dump")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _uri_quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
