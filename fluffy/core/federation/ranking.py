"""In which order a search answers, and how a page's cursor says where the next one begins.

One plain word is answered in three steps: names that are exactly that, names that begin so, all others that hold it.
Anything else is answered in one step. Each step has an order that does not change while pages are turned (the name and
the row's number, or the number alone), so an entry that stays is shown exactly once, whatever comes and goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fluffy.base.errors import QuerySyntax
from fluffy.core.search.query import SearchQuery, fold

# Row numbers are cluster * 2^40 + number.
CLUSTER_SHIFT = 40
_DIGITS_MAX = 19
# Above every name that begins with a text, in the order of UTF-8.
LAST_CHARACTER = "\U0010ffff"


class Step(IntEnum):
    EXACT = 0
    BEGINS = 1
    HOLDS = 2


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was looked at. `folded` counts in the step BEGINS only."""

    step: Step
    row_no: int = 0
    folded: str = ""

    def text(self) -> str:
        return f"{int(self.step)}:{self.row_no}:{self.folded}"


def row_no_of(cluster_no: int, no: int) -> int:
    return (cluster_no << CLUSTER_SHIFT) + no


def cluster_no_of(row_no: int) -> int:
    return row_no >> CLUSTER_SHIFT


def no_of(row_no: int) -> int:
    return row_no & ((1 << CLUSTER_SHIFT) - 1)


def plain_word(query: SearchQuery) -> str | None:
    """The one folded word that the query is, or None."""
    if len(query.terms) == 1 and query.terms[0].glob is None:
        return query.terms[0].literals[0]
    return None


def first_cursor(query: SearchQuery) -> Cursor:
    return Cursor(Step.EXACT if plain_word(query) is not None else Step.HOLDS)


def step_of(word: str | None, name: str) -> Step:
    """In which step a fitting name is shown."""
    folded = fold(name)
    if word is None or not folded.startswith(word):
        return Step.HOLDS
    return Step.EXACT if folded == word else Step.BEGINS


def parse_cursor(text: str | None, query: SearchQuery) -> Cursor:
    """Raises QuerySyntax."""
    if not text:
        return first_cursor(query)
    step, _, rest = text.partition(":")
    number, colon, folded = rest.partition(":")
    if not (step in ("0", "1", "2") and colon and number.isascii() and number.isdigit()
            and len(number) <= _DIGITS_MAX and int(number) < 1 << 62):
        raise QuerySyntax("'after' is not a cursor of this search", after=text[:80])
    try:
        folded.encode()
    except UnicodeEncodeError as error:
        raise QuerySyntax("'after' is not valid UTF-8") from error
    return Cursor(Step(int(step)), int(number), folded)
