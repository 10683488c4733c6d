# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that the documents tell people to type, and the files they tell them to write.

A fenced block is commands unless it names another language than sh. In the text a command is a
span of code that begins with one of the programs and says more than its name.
"""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/*.md", "roles/*/README.md")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(
    r"`((?:DEMO_ARCH=native make|make|pip|ansible-[a-z]+|systemctl|rclone"
    r"|(?:scripts/)?lepotato-backup|(?:/opt/backup/scripts/)?(?:backup-to|restore-from)-b2\.sh)"
    r" [^`\n]+)`"
)
# "rclone obscure -" in a file's text is found there; "X" stands for anything.
_NO_COMMAND = re.compile(r"\bX$")


def documents() -> list[Path]:
    """Every document that the tests read."""
    return sorted(path for pattern in DOCUMENTS for path in CHECKOUT.glob(pattern))


def documented_lines() -> dict[str, str]:
    """Each command line, without its comment, and a document that has it."""
    found: dict[str, str] = {}
    for path in documents():
        name = str(path.relative_to(CHECKOUT))
        text = path.read_text(encoding="utf-8")
        for language, block in _BLOCK.findall(text):
            if language in ("", "sh"):
                for line in _joined(block):
                    found.setdefault(line, name)
        for span in _SPAN.findall(_BLOCK.sub("", text)):
            if not _NO_COMMAND.search(span):
                # A table's cell can't hold a bare "|".
                found.setdefault(span.replace("\\|", "|"), name)
    return found


def documented_file(document: str, first_line: str) -> str:
    """The content of the block of *document* that begins with *first_line*."""
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    (block,) = (block for _language, block in _BLOCK.findall(text) if block.startswith(first_line))
    return str(block)


def _joined(block: str) -> list[str]:
    lines = block.replace("\\\n", "").splitlines()
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in lines) if line]
