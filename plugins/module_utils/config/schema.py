# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nightly program's configuration, read from ``config.json`` into frozen dataclasses.

The dataclasses are the schema: a field's name is the key, its type what is accepted, its
default what a missing key means. An unknown key, a wrong type or a value outside its range is
a :class:`ConfigError` that names the file, the key and what was expected.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import List, Mapping, Tuple

from ..base.errors import ConfigError
from ..base.paths import is_below
from .build import KeyProblem, build

CONFIG_PATH = "/etc/lepotato-backup/config.json"
CONFIG_VERSION = 1

GIBIBYTE_BYTES = 1024**3

DUMP_KINDS = ("postgres", "mysql", "sqlite", "command")

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKLY_MODES = ("reference", "copy")
_WEEKDAY = re.compile("[0-6]|" + "|".join(WEEKDAYS))
DAYS_PER_WEEK = 7

# Every tree is a directory name in staging and in the bucket.
_TREE_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")

# A suffixed size as rclone's --b2-chunk-size takes it.
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?[BKMGkmg]?i?B?")

# What rclone's --bwlimit takes (https://rclone.org/docs/#bwlimit-bandwidth-spec): a rate, or one
# for sending and one for receiving, or a timetable of them.
_RATE = r"(off|[0-9]+(\.[0-9]+)?[BKMGTP]?i?B?)"
_RATES = rf"{_RATE}(:{_RATE})?"
_FROM = r"((mon|tues?|wed(nes)?|thu(rs)?|fri|satu?r?|sun)(day)?-)?[0-2][0-9]:[0-5][0-9]"
_BANDWIDTH = re.compile(rf"({_RATES}|{_FROM},{_RATES}( {_FROM},{_RATES})*)?", re.IGNORECASE)

_ABSOLUTE = {"absolute": True}
# Absolute and not the root; empty is none.
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[^/]+)*")


@dataclass(frozen=True)
class Paths:
    """Where things lie on the Potato."""

    ssd: str = field(default="/mnt/ssd", metadata=_ABSOLUTE)
    staging: str = field(default="/mnt/ssd/backup-staging", metadata=_ABSOLUTE)
    state: str = field(default="/var/lib/lepotato-backup", metadata=_ABSOLUTE)
    log: str = field(default="/mnt/ssd/logs/backup-to-b2.log", metadata=_ABSOLUTE)

    @property
    def daily(self) -> str:
        """The staged copy of the last capture."""
        return os.path.join(self.staging, "daily")


@dataclass(frozen=True)
class Rclone:
    """How rclone is called. Transfers, chunks and their concurrency bound its memory.

    Four 300 MB files at once took rclone 1.75 to 174 MB with four 5 MiB parts of each under way,
    to 123 MB with two and to 95 MB with one (measured with a local stand-in, x86_64).
    """

    binary: str = field(default="/usr/local/bin/rclone", metadata=_ABSOLUTE)
    config: str = field(default="/etc/lepotato-backup/rclone.conf", metadata=_ABSOLUTE)
    raw_remote: str = "b2-backup"
    crypt_remote: str = "b2-encrypted"
    # Measured at a round trip of 100 ms: 12 send small files 4.2 times as fast as rclone with 2, 8
    # only 3.5 times, and 16 no faster than 12: rclone makes no more than 100 calls a second.
    transfers: int = field(default=12, metadata={"minimum": 1})
    checkers: int = field(default=8, metadata={"minimum": 1})
    bandwidth_limit: str = field(
        default="",
        metadata={"pattern": _BANDWIDTH, "expected": "like '4M' or '08:00,512k 23:00,off'"},
    )
    chunk_size: str = field(default="5M", metadata={"pattern": _SIZE, "expected": "like '5M'"})
    upload_concurrency: int = field(default=2, metadata={"minimum": 1})
    stall_timeout_seconds: int = field(default=900, metadata={"minimum": 1})


@dataclass(frozen=True)
class Source:
    """One staged tree: its name and the absolute paths that are captured into it."""

    tree: str = field(metadata={"pattern": _TREE_NAME, "expected": "lower case, digits and '-'"})
    paths: Tuple[str, ...] = field(metadata={**_ABSOLUTE, "minimum_length": 1})
    exclude: Tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Dump:
    """A consistent dump of one container's data, made before the container is stopped.

    *database* and *user* are for postgres and mysql, *path* (inside the container) for sqlite,
    *command* (run in the container, its standard output is the dump) for command.
    """

    container: str
    kind: str = field(metadata={"choices": DUMP_KINDS})
    database: str = ""
    user: str = ""
    path: str = ""
    command: Tuple[str, ...] = ()
    timeout_seconds: int = field(default=3600, metadata={"minimum": 1})


@dataclass(frozen=True)
class Containers:
    """Which containers a night stops, in which order, and how long it waits for them.

    Names are container names or compose ``project/service``; *groups* maps a name to the name of
    its capture group, *priorities* to a number (lower stops first), *stop_timeouts* to seconds.
    """

    enabled: bool = True
    socket: str = field(default="/var/run/docker.sock", metadata=_ABSOLUTE)
    stop_timeout_seconds: int = field(default=30, metadata={"minimum": 1})
    start_timeout_seconds: int = field(default=120, metadata={"minimum": 1})
    include: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    never_stop: Tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    priorities: Mapping[str, int] = field(default_factory=dict)
    stop_timeouts: Mapping[str, int] = field(default_factory=dict)
    dumps: Tuple[Dump, ...] = ()


@dataclass(frozen=True)
class Capture:
    """How the sources are copied into staging."""

    hot_passes_max: int = field(default=3, metadata={"minimum": 1})
    hot_delta_small_bytes: int = field(default=16 * 1024**2, metadata={"minimum": 0})
    niceness: int = field(default=10, metadata={"minimum": 0, "maximum": 19})


@dataclass(frozen=True)
class Guards:
    """What stops a night before it changes staging."""

    shrink_percent_max: int = field(default=50, metadata={"minimum": 1, "maximum": 100})
    minimum_free_bytes: int = field(default=GIBIBYTE_BYTES, metadata={"minimum": 0})
    minimum_free_percent: int = field(default=5, metadata={"minimum": 0, "maximum": 99})
    # 0: no maximum.
    staging_maximum_bytes: int = field(default=0, metadata={"minimum": 0})
    delete_percent_max: int = field(default=50, metadata={"minimum": 1, "maximum": 100})


@dataclass(frozen=True)
class Staging:
    """Whether staging is a directory of the SSD, or an image file mounted at ``paths.staging``."""

    mode: str = field(default="directory", metadata={"choices": ("directory", "image")})


@dataclass(frozen=True)
class Upload:
    """How the bucket is brought to what was captured.

    A night sends what changed since the last sealed one; after *reconcile_days*, and after every
    night that did not end well, the whole bucket is listed and compared.
    """

    reconcile_days: int = field(default=7, metadata={"minimum": 1, "maximum": 365})


@dataclass(frozen=True)
class Weekly:
    """The weekly restore point: on which day, how, and for how many weeks it is kept."""

    enabled: bool = True
    weekday: str = field(
        default="sunday",
        metadata={"pattern": _WEEKDAY, "expected": "0 (Monday) to 6, or a day's English name"},
    )
    mode: str = field(default="reference", metadata={"choices": WEEKLY_MODES})
    keep_weeks: int = field(default=4, metadata={"minimum": 1})

    @property
    def weekday_number(self) -> int:
        """The day as Python counts: Monday is 0."""
        return int(self.weekday) if self.weekday.isdigit() else WEEKDAYS.index(self.weekday)


@dataclass(frozen=True)
class Retention:
    """How long restore points are kept. *history_days* is what the bucket's lifecycle rule keeps
    of replaced and hidden versions: no night can be restored beyond it."""

    daily_days: int = field(default=30, metadata={"minimum": 1})
    keep_at_least: int = field(default=7, metadata={"minimum": 1})
    history_days: int = field(default=30, metadata={"minimum": 1})


@dataclass(frozen=True)
class Cost:
    """B2's prices in US dollars, and from which cost a month on a night warns.

    Classes B and C: 2,500 calls of each a day are free, then 10,000 or 1,000 cost 0.004 USD
    (https://www.backblaze.com/b2/b2-transactions-price.html); a price of 0 says that a class is
    free. Storage: the first 10 GB are free; 6.95 USD for 10**12 bytes a month is from other
    people's lists, and 5 to 6 were B2's own before: look at the last bill. What is free is free
    once an account: hosts that share one share it.
    """

    storage_usd_per_tb_month: float = field(default=6.95, metadata={"minimum": 0})
    class_b_usd_per_10000: float = field(default=0.004, metadata={"minimum": 0})
    class_c_usd_per_1000: float = field(default=0.004, metadata={"minimum": 0})
    free_storage_gb: float = field(default=10.0, metadata={"minimum": 0})
    free_calls_per_day: int = field(default=2500, metadata={"minimum": 0})
    monthly_limit_usd: float = field(default=2.0, metadata={"minimum": 0})


@dataclass(frozen=True)
class Second:
    """The second destination: a directory *path* on a mounted disk, or (empty) another remote."""

    enabled: bool = False
    path: str = field(default="", metadata={"pattern": _PATH, "expected": "an absolute path"})
    raw_remote: str = "second-backup"
    crypt_remote: str = "second-encrypted"


@dataclass(frozen=True)
class Config:
    """All of ``config.json``."""

    host: str = field(metadata={"minimum_length": 1})
    bucket: str = field(metadata={"minimum_length": 1})
    host_prefix: str = field(metadata={"minimum_length": 1})
    sources: Tuple[Source, ...] = field(metadata={"minimum_length": 1})
    version: int = field(default=CONFIG_VERSION, metadata={"minimum": 1, "maximum": CONFIG_VERSION})
    paths: Paths = field(default_factory=Paths)
    rclone: Rclone = field(default_factory=Rclone)
    containers: Containers = field(default_factory=Containers)
    capture: Capture = field(default_factory=Capture)
    guards: Guards = field(default_factory=Guards)
    staging: Staging = field(default_factory=Staging)
    upload: Upload = field(default_factory=Upload)
    weekly: Weekly = field(default_factory=Weekly)
    retention: Retention = field(default_factory=Retention)
    cost: Cost = field(default_factory=Cost)
    second: Second = field(default_factory=Second)


def load_config(path: str = CONFIG_PATH) -> Config:
    """Read and check the configuration file.

    Raises :class:`ConfigError` naming the file, the key and what was expected.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            raw = json.load(stream)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}",
            "Run site.yml to write it, or name another file with --config",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not JSON: {error}", "Run site.yml to write it anew"
        ) from error
    return parse_config(raw, path)


def parse_config(raw: object, path: str = CONFIG_PATH) -> Config:
    """Turn decoded JSON into a :class:`Config`; *path* names the file in errors."""
    try:
        config = build(Config, raw)
        _check_trees(config.sources)
        _check_staging(config)
        _check_dumps(config.containers.dumps)
        _check_retention(config)
    except KeyProblem as problem:
        where = f"key '{problem.key}'" if problem.key else "the file"
        raise ConfigError(
            f"{path}: {where} {problem.what}",
            "Change the variable of the agent role that sets it and run site.yml again",
        ) from problem
    return config


def _check_trees(sources: Tuple[Source, ...]) -> None:
    seen: List[str] = []
    for index, source in enumerate(sources):
        if source.tree in seen:
            raise KeyProblem(f"sources[{index}].tree", f"repeats the tree {source.tree!r}")
        seen.append(source.tree)


def _check_staging(config: Config) -> None:
    staging = config.paths.staging
    for index, source in enumerate(config.sources):
        for path in source.paths:
            if is_below(path, staging):
                raise KeyProblem(
                    f"sources[{index}].paths",
                    f"must hold nothing of the staging area {staging}, not {path!r}",
                )


def _check_dumps(dumps: Tuple[Dump, ...]) -> None:
    needed = {"sqlite": "path", "command": "command"}
    for index, dump in enumerate(dumps):
        name = needed.get(dump.kind)
        if name and not getattr(dump, name):
            raise KeyProblem(
                f"containers.dumps[{index}].{name}", f"is missing: a {dump.kind} dump needs it"
            )


def _check_retention(config: Config) -> None:
    history_days = config.retention.history_days
    if config.retention.daily_days > history_days:
        raise KeyProblem(
            "retention.daily_days",
            f"must be at most retention.history_days ({history_days}): older nights can't be "
            f"restored, not {config.retention.daily_days}",
        )
    weekly = config.weekly
    if weekly.mode == "reference" and weekly.keep_weeks * DAYS_PER_WEEK > history_days:
        raise KeyProblem(
            "weekly.keep_weeks",
            f"must be at most {history_days // DAYS_PER_WEEK} with weekly.mode reference: such a "
            f"point lives on the version history of {history_days} days; take mode copy to keep "
            f"it longer, not {weekly.keep_weeks}",
        )
