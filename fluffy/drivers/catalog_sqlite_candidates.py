"""Which rows of the SQLite catalog may fit a query: step by step, and a bounded stretch at a time.

Three ways lead to candidates. Words and marks are looked up in the index of names. Filters that few rows pass are taken
first: these rows are listed and sorted, however common the word is. What is left is walked through in the order of the
step, in stretches, so that a page can end after a while wherever it is and the next one goes on from there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fluffy.core.federation.marks import bits_of, grams_of_marks, marks_of_query, tag_piece
from fluffy.core.federation.ranking import LAST_CHARACTER, Cursor, Step, plain_word, row_no_of
from fluffy.core.federation.tree import Scope
from fluffy.core.search.plan import grams_of, match_of
from fluffy.core.search.query import SearchQuery

COLUMNS = "e.row_no, e.parent, e.key, e.size, e.generation, e.etag, e.content_type, e.owner, e.modified_ms, e.tags"
# Listed and sorted for each page, instead of a walk over the others: some ten milliseconds.
FEW_MARKED_MAX = 1_000
FEW_IN_RANGE_MAX = 3_000
# Of a stretch: entries of the index of names, some milliseconds; row numbers, twice as many each time.
STRETCH_NAMES = 20_000
STRETCH_NUMBERS = 1 << 15
STRETCH_NUMBERS_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows in the order of their step. `end`: where the next stretch begins; None: this step has no more."""

    rows: sqlite3.Cursor
    end: Cursor | None


class Candidates:
    """For one page, in one read transaction."""

    def __init__(self, db: sqlite3.Connection, query: SearchQuery, scope: Scope) -> None:
        self._db = db
        self._word = plain_word(query) or ""
        self._low, self._high = row_no_of(min(scope), 0) - 1, row_no_of(max(scope) + 1, 0)
        marks = marks_of_query(query)
        self._match = match_of((*grams_of_marks(marks), *grams_of(query)))
        self._ranges = [(column, low, high) for column, low, high in (
            ("size", query.min_size, query.max_size), ("modified_ms", query.since_ms, query.until_ms))
            if low is not None or high is not None]
        self._conditions, self._values = _filters(query, marks, self._ranges)
        self._literals = [literal for term in query.terms for literal in term.literals]
        self._few = self._few_marked() if marks and self._word else None
        if self._few is None:
            self._few = self._few_in_range()

    def stretches(self, after: Cursor) -> Iterator[Stretch]:
        """Behind the cursor, in the order of its step."""
        at: Cursor | None = after
        width = STRETCH_NUMBERS
        while at is not None:
            if self._few is not None:
                yield Stretch(self._of_few(at), None)
                return
            if at.step is Step.HOLDS:
                first = self._first_row(at.row_no) if self._ranges else None
                end = None if first is None else first + width
                yield Stretch(self._holding(at, end), None if end is None else Cursor(Step.HOLDS, end - 1))
                at = None if end is None or end >= self._high else Cursor(Step.HOLDS, end - 1)
                width = min(2 * width, STRETCH_NUMBERS_MAX)
            else:
                last = self._last_name(at) if self._conditions else None
                yield Stretch(self._named(at, last), last)
                at = last

    def _named(self, after: Cursor, last: Cursor | None) -> sqlite3.Cursor:
        """Names that are the word, or begin with it, up to `last`: in the index of names, where most filters are."""
        where, order, values = self._place(after)
        if last is not None:
            where += " AND (e.folded, e.row_no) <= (?, ?)"
            values = [*values, last.folded or self._word, last.row_no]
        return self._ask("entries e", where, order, values)

    def _last_name(self, after: Cursor) -> Cursor | None:
        """The end of the next stretch; None: it is shorter."""
        where, order, values = self._place(after)
        found = self._db.execute(f"SELECT e.row_no, e.folded FROM entries e WHERE {where} ORDER BY {order} LIMIT 1"
                                 " OFFSET ?", [*values, STRETCH_NAMES - 1]).fetchone()
        return None if found is None else Cursor(after.step, found[0], found[1] if after.step is Step.BEGINS else "")

    def _place(self, after: Cursor) -> tuple[str, str, list[Any]]:
        if after.step is Step.EXACT:
            return "e.folded = ? AND e.row_no > ?", "e.row_no", [self._word, max(after.row_no, self._low)]
        return ("e.folded > ? AND e.folded < ? AND (e.folded, e.row_no) > (?, ?)", "e.folded, e.row_no",
                [self._word, self._word + LAST_CHARACTER, after.folded or self._word, after.row_no])

    def _holding(self, after: Cursor, end: int | None) -> sqlite3.Cursor:
        """Names that hold the words, by their numbers below `end`."""
        low, high = max(after.row_no, self._low), self._high if end is None else min(end, self._high)
        if self._match:
            return self._ask("grams g CROSS JOIN entries e ON e.row_no = g.rowid",
                             "grams MATCH ? AND g.rowid > ? AND g.rowid < ?", "g.rowid", [self._match, low, high])
        return self._ask("entries e", "e.row_no > ? AND e.row_no < ?", "e.row_no", [low, high])

    def _first_row(self, behind: int) -> int | None:
        """The next number that there is at all: those of two clusters lie far apart."""
        found = self._db.execute("SELECT row_no FROM entries WHERE row_no > ? AND row_no < ? ORDER BY row_no LIMIT 1",
                                 (max(behind, self._low), self._high)).fetchone()
        return None if found is None else int(found[0])

    def _of_few(self, after: Cursor) -> sqlite3.Cursor:
        if after.step is Step.HOLDS:
            where, order, values = "e.row_no > ?", "e.row_no", [max(after.row_no, self._low), *self._literals]
            where += " AND instr(e.folded, ?) > 0" * len(self._literals)
        else:
            where, order, values = self._place(after)
        return self._ask("json_each(?) f CROSS JOIN entries e ON e.row_no = f.value", where, order,
                         [self._few, *values])

    def _ask(self, source: str, where: str, order: str, values: list[Any]) -> sqlite3.Cursor:
        conditions = "".join(f" AND {condition}" for condition in ("e.row_no < ?", *self._conditions))
        return self._db.execute(f"SELECT {COLUMNS} FROM {source} WHERE {where}{conditions} ORDER BY {order}",
                                [*values, self._high, *self._values])

    def _few_marked(self) -> str | None:
        """All rows with the words and marks as a JSON list, if sorting them is less than walking over the others."""
        return self._listed("SELECT rowid AS row_no FROM grams WHERE grams MATCH ? AND rowid > ? AND rowid < ?",
                            [self._match, self._low, self._high], FEW_MARKED_MAX)

    def _few_in_range(self) -> str | None:
        """The same of those whose size or time is in the range."""
        for column, low, high in self._ranges:
            wanted = [(bound, value) for bound, value in ((">=", low), ("<=", high)) if value is not None]
            where = " AND ".join(f"{column} {bound} ?" for bound, _ in wanted)
            found = self._listed(f"SELECT row_no FROM entries INDEXED BY entries_{column} WHERE {where}",
                                 [value for _, value in wanted], FEW_IN_RANGE_MAX)
            if found is not None:
                return found
        return None

    def _listed(self, rows: str, values: list[Any], most: int) -> str | None:
        """The numbers of these rows as a JSON list; None: there are more. Each is one step for the interpreter."""
        limited = f"FROM ({rows} LIMIT {most + 1})"
        if self._db.execute(f"SELECT count(*) {limited}", values).fetchone()[0] > most:
            return None
        return str(self._db.execute(f"SELECT json_group_array(row_no) {limited}", values).fetchone()[0])


def _filters(query: SearchQuery, marks: Sequence[int], ranges: Sequence[tuple[str, int | None, int | None]],
             ) -> tuple[list[str], list[Any]]:
    """What the catalog can leave out by itself; `SearchQuery.fits` decides. First what the index of names has.

    The + keeps SQLite from walking in the order of sizes or times: the order of the step is wanted.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if bits := bits_of(marks, is_file=query.only_files):
        conditions.append("e.bits & ? = ?")
        values += [bits, bits]
    for column, low, high in ranges:
        conditions += [f"+e.{column} >= ?"] if low is not None else []
        conditions += [f"+e.{column} <= ?"] if high is not None else []
        values += [bound for bound in (low, high) if bound is not None]
    if query.content_type is not None:
        conditions.append("substr(lower(e.content_type), 1, ?) = ?")
        values += [len(query.content_type), query.content_type]
    if query.owner is not None:
        conditions.append("e.owner = ?")
        values.append(query.owner)
    for tag in query.tags:
        conditions.append("instr(e.tags, ?) > 0")
        values.append(tag_piece(tag))
    return conditions, values
