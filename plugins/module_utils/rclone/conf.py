# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rclone.conf says of the two remotes, and how it changes, without telling its secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Tuple

from ..b2.api import B2Client
from ..base.errors import ConfigError

# All that a diff shows; anything else may be a secret of some kind of remote (pass, token,
# secret_access_key ...) and is shown as changed or unchanged only.
OPEN_KEYS = frozenset(
    {
        "type",
        "remote",
        "endpoint",
        "filename_encryption",
        "directory_name_encryption",
        "filename_encoding",
        "provider",
        "region",
        "vendor",
        "host",
        "port",
        "url",
        "user",
        "key_file",
        "known_hosts_file",
    }
)
# "alias,pass=...:" and "https://user:pass@host" can stand even there.
_CREDENTIAL_SIGNS = frozenset(",@")
# Not worth hiding, and to be found in many a message.
_PLAIN_VALUES = frozenset({"", "true", "false"})
# A shorter value is no secret, but part of many a word.
_SECRET_CHARACTERS_MIN = 3

MEND = "Run site.yml again: the role lepotato.backup.rclone writes the file from its variables"

Sections = Dict[str, Dict[str, str]]


@dataclass(frozen=True)
class RemoteConf:
    """The B2 remote and what the crypt remote lies over. *prefix* has no slash at its ends."""

    key_id: str
    key: str = field(repr=False)
    endpoint: str
    bucket: str
    prefix: str

    @property
    def folder(self) -> str:
        """What every object's name starts with."""
        return f"{self.prefix}/" if self.prefix else ""

    def client(self, **options: Any) -> B2Client:
        """A client with the remote's key; *options* are those of :class:`B2Client`."""
        return B2Client(self.key_id, self.key, self.endpoint, **options)


def read_remote(path: str, raw_remote: str, crypt_remote: str) -> RemoteConf:
    """The remotes in the file *path*; :class:`ConfigError` names what is wrong with it."""
    return parse_remote(_content(path), raw_remote, crypt_remote, path)


def crypt_lies_over(path: str, crypt_remote: str) -> str:
    """What that crypt remote in the file *path* encrypts; :class:`ConfigError` without one."""
    sections = parse_sections(_content(path), path)
    return _section(sections, crypt_remote, "crypt", path).get("remote", "")


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", MEND) from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8", MEND) from None


def parse_remote(content: str, raw_remote: str, crypt_remote: str, path: str) -> RemoteConf:
    """The remotes in *content*; *path* names the file in errors, which show no values."""
    sections = parse_sections(content, path)
    raw = _section(sections, raw_remote, "b2", path)
    crypt = _section(sections, crypt_remote, "crypt", path)
    for name, keys in ((raw_remote, ("account", "key")), (crypt_remote, ("remote", "password"))):
        for key in keys:
            if not sections[name].get(key):
                raise ConfigError(f"{path}: [{name}] has no {key}", MEND)
    remote, _colon, below = crypt["remote"].partition(":")
    bucket, _slash, prefix = below.strip("/").partition("/")
    if remote != raw_remote or not bucket:
        raise ConfigError(
            f"{path}: [{crypt_remote}] must lie over {raw_remote}:BUCKET/PREFIX,"
            f" not over '{crypt['remote']}'",
            "Check lepotato_backup_bucket and lepotato_backup_host_prefix",
        )
    return RemoteConf(
        raw["account"], raw["key"], raw.get("endpoint", ""), bucket, prefix.strip("/")
    )


def parse_sections(content: str, path: str) -> Sections:
    """The sections of an rclone.conf; :class:`ConfigError` names a line that is none."""
    sections: Sections = {}
    current: Dict[str, str] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text.startswith("[") and text.endswith("]"):
            current = sections.setdefault(text[1:-1], {})
            continue
        key, equals, value = text.partition("=")
        if not equals or not sections:
            raise ConfigError(
                f"{path}: line {number} is neither a [remote] nor a 'key = value'", MEND
            )
        current[key.strip()] = value.strip()
    return sections


def masked_pair(before: str, after: str) -> Tuple[str, str]:
    """Both contents for a diff: secrets are replaced by whether they change."""
    old, new = _values(before), _values(after)
    return _masked(before, new, "before"), _masked(after, old, "changed")


def _values(content: str) -> Mapping[Tuple[str, str], str]:
    values: Dict[Tuple[str, str], str] = {}
    section = ""
    for line in content.splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text
        key, equals, value = text.partition("=")
        if equals:
            values[section, key.strip()] = value.strip()
    return values


def _masked(content: str, other: Mapping[Tuple[str, str], str], if_not_equal: str) -> str:
    lines: List[str] = []
    section = ""
    for line in content.splitlines():
        text = line.strip()
        key, equals, value = text.partition("=")
        key = key.strip()
        if text.startswith("["):
            section = text
        elif equals and not _is_open(key, value) and not text.startswith(("#", ";")):
            is_same = other.get((section, key)) == value.strip()
            line = f"{key} = (secret, {'unchanged' if is_same else if_not_equal})"
        elif not text.startswith(("#", ";")) and not equals and text:
            # Not a line of an rclone.conf: it may be half a secret.
            line = "(not shown)"
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _is_open(key: str, value: str) -> bool:
    return key in OPEN_KEYS and not _CREDENTIAL_SIGNS.intersection(value)


def _section(sections: Sections, name: str, kind: str, path: str) -> Mapping[str, str]:
    if name not in sections:
        raise ConfigError(f"{path} has no remote [{name}]", MEND)
    if sections[name].get("type") != kind:
        raise ConfigError(f"{path}: [{name}] must be of type {kind}", MEND)
    return sections[name]


def hide_secrets(facts: Mapping[str, Any], content: str) -> Dict[str, Any]:
    """*facts* with every secret value of *content* in their strings and lists replaced."""
    secrets = [
        value
        for (_section_name, key), value in _values(content).items()
        if not _is_open(key, value)
        and value not in _PLAIN_VALUES
        and len(value) >= _SECRET_CHARACTERS_MIN
    ]

    def hidden(value: Any) -> Any:
        if isinstance(value, list):
            return [hidden(item) for item in value]
        if isinstance(value, str):
            for secret in sorted(secrets, key=len, reverse=True):
                value = value.replace(secret, "********")
        return value

    return {name: hidden(value) for name, value in facts.items()}
