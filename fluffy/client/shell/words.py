"""A typed line as words, the way a shell splits it, remembering which `*`, `?`, `[` and `~` were quoted.

Words travel through click as plain strings, so a quoted magic character is carried as a *mask*: a code point that is
set aside for a program's own use and stands in no name. Whoever takes a word says what it wants: its text (`unmask`),
or a pattern when an unquoted magic character is left (`is_pattern`). An unquoted `|` ends a command and begins the
next one of a pipeline.
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
# Each command of a line has a thread.
PIPELINE_MAX = 16
# Signs of other shells that would be taken for names here, with what to do instead.
_FOREIGN = {">": "save a file with 'download REMOTE LOCAL'", "<": "send a file with 'upload LOCAL REMOTE'",
            ";": "write one command a line", "&&": "write one command a line", "||": "write one command a line",
            "&": "every command runs in the foreground"}
_FOREIGN[">>"] = _FOREIGN[">"]


@dataclass(frozen=True, slots=True)
class LastWord:
    """The word at the end of an unfinished line. `start`: where its raw text begins; `text`: what it means so far."""

    words_before: tuple[str, ...]
    start: int
    text: str

_PLACE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62}):(/(?!/).*)\Z", re.DOTALL)


def split_pipeline(line: str) -> list[list[str]]:
    """The commands of a finished line, each its words, masked; no command for an empty line.

    Raises QuerySyntax for a quote without its end, a pipe without a command, and signs that other shells have.
    """
    stages, last, open_quote = _scan(line)
    if open_quote:
        raise QuerySyntax(f"the quote {open_quote} is opened but not closed")
    if last is not None:
        stages[-1].append(_checked(line, last))
    if stages == [[]]:
        return []
    if not all(stages):
        raise QuerySyntax("a command is missing beside the pipe; quote a '|' that is part of a name")
    if len(stages) > PIPELINE_MAX:
        raise QuerySyntax(f"a line has at most {PIPELINE_MAX} commands")
    return stages


def split_line(line: str) -> list[str]:
    """The words of a finished line of one command, masked. Raises QuerySyntax as `split_pipeline`, and for a pipe."""
    stages = split_pipeline(line)
    if len(stages) > 1:
        raise QuerySyntax("there is no pipe here")
    return stages[0] if stages else []


def split_unfinished(line: str) -> LastWord:
    """For completion: the last word of the last command, possibly empty, possibly inside an open quote."""
    stages, last, _ = _scan(line)
    words = stages[-1]
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


def _scan(line: str) -> tuple[list[list[str]], int | None, str]:
    """(each command's finished words, start of an unfinished word or None, the quote that is open or '')."""
    if len(line) > LINE_CHARS_MAX:
        raise QuerySyntax(f"the line is longer than {LINE_CHARS_MAX} characters")
    stages: list[list[str]] = [[]]
    start: int | None = None
    quote, escaped = "", False
    for position, char in enumerate(line):
        is_bare = not quote and not escaped
        if is_bare and (char.isspace() or char == "|"):
            if start is not None:
                stages[-1].append(_checked(line[:position], start))
                start = None
            if char == "|":
                stages.append([])
            continue
        if start is None:
            if char == "#":
                return stages, None, ""  # a comment, as in a shell
            start = position
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    if escaped and start is not None:
        return stages, start, quote or "\\"
    return stages, start, quote


def _checked(line: str, start: int) -> str:
    """The masked word at the end of `line`. Raises QuerySyntax for a bare sign that means something elsewhere."""
    instead = _FOREIGN.get(line[start:])
    if instead is not None:
        raise QuerySyntax(f"'{line[start:]}' has no meaning here: {instead}; quote it when it is a name")
    return line_word(line, start)


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


def split_place(word: str) -> tuple[str | None, str]:
    """(cluster, path) of a word like `beta:/docs`; (None, word) when it names no cluster, as `s3://bucket` does."""
    match = _PLACE.match(word)
    return (None, word) if match is None else (match[1], match[2])
