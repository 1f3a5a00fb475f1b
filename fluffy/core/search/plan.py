"""How an index is asked for a query: which trigrams and tags every answer has, and which cursors pages have.

What an index gives are candidates; `SearchQuery.fits` decides. So a plan may ask for less than the query says, never
for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluffy.base.errors import QuerySyntax
from fluffy.core.metadata.model import Page
from fluffy.core.search.query import SearchQuery

GRAM_CHARS = 3
# More trigrams narrow little and cost a list each.
GRAMS_MAX = 12
# Nothing that users may write in a tag, so a key and its value stay apart. (A mixed-up candidate is only a candidate.)
TAG_SEPARATOR = "\x1f"
# SQLite's integers; longer numbers are not ours.
_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`via`: "index", or "scan" when the names of the state were looked through, and `reason` then says why."""

    page: Page
    via: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """`state`: ready, rebuilding, missing. `behind`: changes not yet followed, the oldest `lag_ms` ago."""

    state: str
    rows: int
    seq: int
    behind: int
    lag_ms: int


def grams_of(query: SearchQuery) -> tuple[str, ...]:
    """Trigrams that the folded name of every answer has, most telling parts of long texts first; () when none."""
    grams: dict[str, None] = {}
    for term in query.terms:
        for literal in term.literals:
            starts = range(len(literal) - GRAM_CHARS + 1)
            step = max(1, -(-len(starts) // GRAMS_MAX))
            for start in (*starts[::step], *starts[-1:]):
                grams[literal[start:start + GRAM_CHARS]] = None
    return tuple(list(grams)[:GRAMS_MAX * 2])


def match_of(grams: tuple[str, ...]) -> str:
    """In the language of FTS5."""
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)


def tag_texts(tags: Mapping[str, str]) -> list[str]:
    """How an index writes tags; a newline cannot be part of one."""
    return [tag_text(key, value) for key, value in tags.items()]


def tag_text(key: str, value: str) -> str:
    return f"{key}{TAG_SEPARATOR}{value}".replace("\n", " ")


def tag_range(key: str) -> tuple[str, str]:
    """First text of a tag with that key, and the first one behind all of them."""
    clean = key.replace("\n", " ")
    return clean + TAG_SEPARATOR, clean + chr(ord(TAG_SEPARATOR) + 1)


def index_cursor(no: int) -> str:
    return f"n{no}"


def scan_cursor(place: tuple[int, str]) -> str:
    return f"p{place[0]}:{place[1]}"


def parse_cursor(after: str | None) -> int | tuple[int, str] | None:
    """A number of the index, a place of the scan, or None: the beginning. Raises QuerySyntax."""
    if not after:
        return None
    kind, rest = after[0], after[1:]
    number, colon, key = rest.partition(":")
    if number.isascii() and number.isdigit() and len(number) <= _DIGITS_MAX:
        if kind == "n" and not colon:
            return int(number)
        if kind == "p" and colon:
            try:
                key.encode()
            except UnicodeEncodeError as error:
                raise QuerySyntax("'after' is not valid UTF-8") from error
            return int(number), key
    raise QuerySyntax("'after' is not a cursor of a search", after=after)
