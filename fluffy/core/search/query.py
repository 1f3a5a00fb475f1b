"""The query language of search: what people type, parsed once, bounded, and what it means for one name.

A text is split at spaces into terms, and every term must fit the name (not the whole path):

    report 2024        both words are in the name, in any order, letters of either case
    *.pdf              a term with * ? or [ is a pattern for the whole name
    "a b*"             in quotes, and behind a backslash, every character means itself

Beside the text stand filters: content type (`image/` is a prefix), tags, size, time, owner, bucket. A filter on what
only files have (type, tags, size) finds files only.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fluffy.base.errors import QuerySyntax
from fluffy.core.metadata.queries_search import Found

QUERY_CHARS_MAX = 256
# Each term is a pass over the names that the others let through.
TERMS_MAX = 8
TAGS_MAX = 8
FILTER_CHARS_MAX = 512
SIZE_MAX = 1 << 62
_SPECIAL = "*?["
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fold(text: str) -> str:
    """How two texts are compared: letters of either case are one, and so are both ways of writing an accent."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on a name. `literals`: folded texts that every fitting name contains, longest first."""

    literals: tuple[str, ...]
    glob: str | None = None  # a folded pattern for the whole name; None: the one literal says it all

    def fits(self, folded: str) -> bool:
        if self.glob is not None:
            return _compiled(self.glob).match(folded) is not None
        return self.literals[0] in folded


@dataclass(frozen=True, slots=True)
class Tag:
    """`value` None: any value will do."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A checked query; None: no such condition. Times are log time in ms, both ends included, as are sizes."""

    terms: tuple[Term, ...] = ()
    tags: tuple[Tag, ...] = ()
    content_type: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    owner: str | None = None
    bucket: str | None = None

    @property
    def only_files(self) -> bool:
        return bool(self.tags) or not (self.content_type is None and self.min_size is None and self.max_size is None)

    def fits_name(self, name: str) -> bool:
        folded = fold(name)
        return all(term.fits(folded) for term in self.terms)

    def fits(self, found: Found) -> bool:
        """Whether an entry, as the state has it now, is an answer."""
        entry = found.entry
        if self.only_files and entry.kind != "file":
            return False
        if not (_within(entry.size, self.min_size, self.max_size)
                and _within(entry.modified_ms, self.since_ms, self.until_ms)):
            return False
        if self.owner is not None and entry.owner != self.owner:
            return False
        if self.bucket is not None and entry.path.partition("/")[0] != self.bucket:
            return False
        if self.content_type is not None and not _fits_type(entry.content_type.lower(), self.content_type):
            return False
        if any(found.tags.get(tag.key) is None or tag.value not in (None, found.tags[tag.key]) for tag in self.tags):
            return False
        return self.fits_name(entry.name)


def parse_query(text: str = "", *, content_type: str = "", tag: str = "", min_size: int | None = None,
                max_size: int | None = None, since_ms: int | None = None, until_ms: int | None = None,
                owner: str = "", bucket: str = "") -> SearchQuery:
    """Check everything; empty texts mean no such condition. Raises QuerySyntax with a sentence.

    `tag` is `key=value` or `key`, several joined by `&`. `content_type` is a whole one or a prefix ending in `/`.
    """
    for value in (text, content_type, tag, owner, bucket):
        _check_text(value)
    if len(text) > QUERY_CHARS_MAX:
        raise QuerySyntax(f"the search text has {len(text)} characters; at most {QUERY_CHARS_MAX} are allowed")
    query = SearchQuery(_parse_terms(text), _parse_tags(tag), content_type.lower() or None, _bounded(min_size),
                        _bounded(max_size), since_ms, until_ms, owner or None, bucket.strip("/") or None)
    if query == SearchQuery(bucket=query.bucket):
        raise QuerySyntax("say what to look for: a text or pattern (q), or type, tag, owner, a size or a time")
    for name, low, high in (("size", min_size, max_size), ("time", since_ms, until_ms)):
        if low is not None and high is not None and low > high:
            raise QuerySyntax(f"the smallest {name} is above the largest, so nothing can be found")
    return query


def _bounded(size: int | None) -> int | None:
    """No file is larger than this, and indexes can hold it."""
    return None if size is None else min(size, SIZE_MAX)


def _check_text(text: str) -> None:
    if len(text) > FILTER_CHARS_MAX:
        raise QuerySyntax(f"a part of the query is longer than {FILTER_CHARS_MAX} characters")
    if _CONTROL.search(text):
        raise QuerySyntax("the query has a control character, which no name has")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QuerySyntax("a part of the query is not valid UTF-8") from error


def _parse_terms(text: str) -> tuple[Term, ...]:
    terms = tuple(_term(pieces) for pieces in _split(text))
    if len(terms) > TERMS_MAX:
        raise QuerySyntax(f"the query has {len(terms)} words; at most {TERMS_MAX} are allowed")
    return terms


def _split(text: str) -> Iterable[list[tuple[str, bool]]]:
    """Terms as lists of (character, whether it only means itself)."""
    term: list[tuple[str, bool]] = []
    quoted = escaped = began = False
    for character in text:
        if escaped:
            term.append((character, True))
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == " " and not quoted:
            if term:
                yield term
            elif began:
                raise QuerySyntax('the query has an empty word: ""')
            term, began = [], False
            continue
        else:
            term.append((character, quoted))
        began = True
    if quoted:
        raise QuerySyntax('a quote (") is opened and not closed; write \\" for the character itself')
    if escaped:
        raise QuerySyntax("the query ends in a backslash; write \\\\ for the character itself")
    if term:
        yield term
    elif began:
        raise QuerySyntax('the query has an empty word: ""')


def _term(pieces: list[tuple[str, bool]]) -> Term:
    if any(character == "/" for character, _ in pieces):
        raise QuerySyntax("a search looks at names, which have no '/'; say bucket=NAME to look in one bucket only")
    if not any(character in _SPECIAL and not literal for character, literal in pieces):
        return Term((fold("".join(character for character, _ in pieces)),))
    return _glob_term(pieces)


def _glob_term(pieces: list[tuple[str, bool]]) -> Term:
    pattern: list[str] = []
    literals = [""]
    in_class = False
    for place, (character, literal) in enumerate(pieces):
        special = not literal and character in _SPECIAL
        if in_class:
            pattern.append(character)
            in_class = not (character == "]" and not literal)
        elif special:
            pattern.append(character)
            literals.append("")
            in_class = character == "["
            if in_class and not any(later == ("]", False) for later in pieces[place + 2:]):
                raise QuerySyntax("a [ of a pattern has no ]; write \\[ for the character itself")
        else:
            pattern.append(f"[{character}]" if character in _SPECIAL else character)
            literals[-1] += character
    found = sorted({fold(text) for text in literals if text}, key=lambda text: (-len(text), text))
    return Term(tuple(found), fold("".join(pattern)))


@lru_cache(maxsize=256)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob))


def _parse_tags(text: str) -> tuple[Tag, ...]:
    tags = []
    for part in text.split("&") if text else ():
        key, equals, value = part.partition("=")
        if not key:
            raise QuerySyntax("a tag is written key=value, or key alone for any value; several are joined by &")
        tags.append(Tag(key, value if equals else None))
    if len(tags) > TAGS_MAX:
        raise QuerySyntax(f"the query has {len(tags)} tags; at most {TAGS_MAX} are allowed")
    return tuple(tags)


def _fits_type(content_type: str, wanted: str) -> bool:
    if wanted.endswith("/"):
        return content_type.startswith(wanted)
    return content_type == wanted or content_type.partition(";")[0].rstrip() == wanted


def _within(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
