"""A typed line as words, the way a shell splits it, remembering which `*`, `?`, `[` and `~` were quoted.

Words travel through click as plain strings, so a quoted magic character is carried as a *mask*: a code point that is
set aside for a program's own use and stands in no name. Whoever takes a word says what it wants: its text (`unmask`),
or a pattern when an unquoted magic character is left (`is_pattern`).
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from fluffy.base.errors import QuerySyntax

_MASKS = {"*": "\ufdd0", "?": "\ufdd1", "[": "\ufdd2", "~": "\ufdd3"}
_UNMASKS = str.maketrans({mask: char for char, mask in _MASKS.items()})
_MAGIC = re.compile(r"[*?\[]")
# Everything that a word may not have bare.
_SPECIAL = re.compile(r"([\s\\'\"*?\[#;&|<>$`!(){}~])")
LINE_CHARS_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class LastWord:
    """The word at the end of an unfinished line. `start`: where its raw text begins; `text`: what it means so far."""

    words_before: tuple[str, ...]
    start: int
    text: str


def split_line(line: str) -> list[str]:
    """The words of a finished line, masked. Raises QuerySyntax for a quote without its end."""
    words, last, open_quote = _scan(line)
    if open_quote:
        raise QuerySyntax(f"the quote {open_quote} is opened but not closed")
    return words if last is None else [*words, line_word(line, last)]


def split_unfinished(line: str) -> LastWord:
    """For completion: the last word, possibly empty, possibly inside an open quote."""
    words, last, _ = _scan(line)
    if last is None:
        return LastWord(tuple(unmask(word) for word in words), len(line), "")
    return LastWord(tuple(unmask(word) for word in words), last, unmask(line_word(line, last)))


def line_word(line: str, start: int) -> str:
    """The masked word whose raw text runs from `start` to the end of the line."""
    chars: list[str] = []
    quote = ""
    position = start
    while position < len(line):
        char = line[position]
        if quote == "'" or (quote == '"' and char != "\\"):
            if char == quote:
                quote = ""
            else:
                chars.append(_MASKS.get(char, char))
        elif char == "\\":
            position += 1
            escaped = line[position:position + 1]
            if quote and escaped not in ('"', "\\"):
                chars.append("\\")
            chars.append(_MASKS.get(escaped, escaped))
        elif char in "'\"":
            quote = char
        else:
            chars.append(char)
        position += 1
    return "".join(chars)


def _scan(line: str) -> tuple[list[str], int | None, str]:
    """(finished words, start of an unfinished one or None, the quote that is open or '')."""
    if len(line) > LINE_CHARS_MAX:
        raise QuerySyntax(f"the line is longer than {LINE_CHARS_MAX} characters")
    words: list[str] = []
    start: int | None = None
    quote, escaped = "", False
    for position, char in enumerate(line):
        if start is None:
            if char.isspace():
                continue
            if char == "#":
                return words, None, ""  # a comment, as in a shell
            start = position
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            words.append(line_word(line[:position], start))
            start = None
    if escaped and start is not None:
        return words, start, quote or "\\"
    return words, start, quote


def unmask(word: str) -> str:
    """The word's literal text."""
    return word.translate(_UNMASKS)


def is_pattern(word: str) -> bool:
    """Whether an unquoted `*`, `?` or `[` is in the word."""
    return _MAGIC.search(word) is not None


def pattern_of(word: str) -> re.Pattern[str]:
    """The expression for one segment of a pattern: unquoted magic matches, quoted magic is itself."""
    escaped = "".join(f"[{unmask(char)}]" if char in "\ufdd0\ufdd1\ufdd2" else unmask(char) for char in word)
    return re.compile(fnmatch.translate(escaped), re.DOTALL)


def local_pattern(word: str) -> str:
    """The word as Python's `glob` wants it."""
    return "".join(f"[{unmask(char)}]" if char in "\ufdd0\ufdd1\ufdd2" else unmask(char) for char in word)


def quote_word(text: str) -> str:
    """`text` so that `split_line` gives it back as one plain word; with backslashes, to be typed on."""
    if not text:
        return "''"
    return _SPECIAL.sub(r"\\\1", text)
