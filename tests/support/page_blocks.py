"""The commands that a page of docs/ tells people to type, taken out of it."""

from __future__ import annotations

import re
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    text = _without_fences_headings(page.read_text(encoding="utf-8"))
    for found in _HEADING.finditer(text):
        if found[1] == heading:
            end = _HEADING.search(text, found.end())
            return page.read_text(encoding="utf-8")[found.end():end.start() if end else None]
    raise KeyError(f"{page.name} has no heading {heading!r}")


def blocks(page: Path, heading: str, language: str = "sh") -> list[str]:
    """The fenced blocks of a section, in order."""
    return [found[2] for found in _FENCE.finditer(section(page, heading)) if found[1] == language]


def lines(block: str) -> list[str]:
    """One command each, without the remark behind it."""
    return [line for line in (re.sub(r"\s{2,}#.*$", "", line).strip() for line in block.splitlines())
            if line and not line.startswith("#")]


def _without_fences_headings(text: str) -> str:
    """Of the same length; a remark at the beginning of a line of a block is no heading."""
    return _FENCE.sub(lambda found: found[0].replace("\n#", "\n "), text)
