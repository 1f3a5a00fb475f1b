"""Questions to the SQLite catalog, each in the read transaction of its caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fluffy.base.errors import CatalogFailed
from fluffy.core.federation.marks import bits_of, grams_of_marks, marks_of_query, tag_piece
from fluffy.core.federation.paging import CatalogPage, PageMaker
from fluffy.core.federation.ranking import LAST_CHARACTER, Cursor, Step, no_of, parse_cursor, plain_word, row_no_of
from fluffy.core.federation.tree import FolderId, Placed, Scope
from fluffy.core.metadata.queries_federation import CatalogRow, Place
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.search.plan import grams_of, match_of
from fluffy.core.search.query import SearchQuery
from fluffy.ports_federation import CatalogCluster, DeadLetter

COLUMNS = "e.row_no, e.parent, e.key, e.size, e.generation, e.etag, e.content_type, e.owner, e.modified_ms, e.tags"
# One round of looking up folders for so many candidates; a page mostly needs one.
BATCH = 256
# Sorted for each page; some ten milliseconds.
FEW_MAX = 1_000
_LAST_PLACE = (1 << 41, "")


def clusters(db: sqlite3.Connection) -> tuple[CatalogCluster, ...]:
    return tuple(_cluster(db, row) for row in db.execute("SELECT * FROM clusters ORDER BY name").fetchall())


def cluster(db: sqlite3.Connection, name: str) -> CatalogCluster | None:
    row = db.execute("SELECT * FROM clusters WHERE name = ?", (name,)).fetchone()
    return None if row is None else _cluster(db, row)


def _cluster(db: sqlite3.Connection, row: tuple[Any, ...]) -> CatalogCluster:
    number, name, epoch, seq, parent, key, rows, level_ms = row
    walk = db.execute("SELECT folder_no, after FROM walks WHERE cluster_no = ? ORDER BY folder_no LIMIT 1",
                      (number,)).fetchone()
    return CatalogCluster(number, name, epoch, seq, None if parent is None else (parent, key), walk, rows, level_ms)


def check_numbers(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Raise CatalogFailed for a cluster that was forgotten or is built anew meanwhile."""
    known = {number for (number,) in db.execute("SELECT number FROM clusters")}
    if not known.issuperset(numbers):
        raise CatalogFailed("the catalog of a cluster is built anew; ask again")


def dead_letters(db: sqlite3.Connection, limit: int) -> tuple[DeadLetter, ...]:
    return tuple(DeadLetter(*row) for row in db.execute(
        "SELECT cluster, seq, at_ms, reason, text FROM dead_letters ORDER BY no DESC LIMIT ?", (limit,)))


def rows(db: sqlite3.Connection, number: int, after: Place, limit: int) -> tuple[CatalogRow, ...]:
    return tuple(row_of(row) for row in db.execute(
        f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = ? AND (parent, key) > (?, ?)"
        " ORDER BY parent, key, row_no LIMIT ?", (number, *after, limit)))


def rows_between(db: sqlite3.Connection, number: int, after: Place, through: Place | None) -> tuple[CatalogRow, ...]:
    return tuple(row_of(row) for row in db.execute(
        f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = ? AND (parent, key) > (?, ?)"
        " AND (parent, key) <= (?, ?) ORDER BY parent, key", (number, *after, *(through or _LAST_PLACE))))


def list_folder(db: sqlite3.Connection, number: int, path: str, after: str, limit: int,
                ) -> tuple[CatalogRow, ...] | None:
    folder_no = _folder(db, number, path)
    if folder_no is None:
        return None
    return tuple(row_of(row) for row in db.execute(
        f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = ? AND parent = ? AND key > ? ORDER BY key LIMIT ?",
        (number, folder_no, after, limit)))


def find(db: sqlite3.Connection, number: int, path: str) -> CatalogRow | None:
    parent, _, name = path.rpartition("/")
    folder_no = _folder(db, number, parent)
    if folder_no is None:
        return None
    row = db.execute(f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = ? AND parent = ? AND key IN (?, ?)"
                     " ORDER BY key LIMIT 1", (number, folder_no, name, name + "/")).fetchone()
    return None if row is None else row_of(row)


def _folder(db: sqlite3.Connection, number: int, path: str) -> int | None:
    folder_no = ROOT_NO
    for segment in path.split("/") if path else ():
        row = db.execute("SELECT row_no FROM entries WHERE cluster_no = ? AND parent = ? AND key = ?",
                         (number, folder_no, segment + "/")).fetchone()
        if row is None:
            return None
        folder_no = no_of(row[0])
    return folder_no


def search(db: sqlite3.Connection, query: SearchQuery, scope: Scope, after: str | None, limit: int) -> CatalogPage:
    cursor = parse_cursor(after, query)
    maker = PageMaker(query, scope, limit)
    if not scope:
        return maker.page(is_over=True)
    check_numbers(db, scope)
    candidates = _Candidates(db, query, scope)
    for step in Step:
        if step < cursor.step:
            continue
        found = candidates.of(cursor if step is cursor.step else Cursor(step))
        while batch := [_placed(row) for row in found.fetchmany(BATCH)]:
            while missing := maker.missing(step, batch):
                maker.folders.learn(missing, dict(_folders(db, missing)))
            maker.take(step, batch)
            if maker.is_full:
                return maker.page(is_over=False)
    return maker.page(is_over=True)


class _Candidates:
    """Rows that may fit a query, step by step."""

    def __init__(self, db: sqlite3.Connection, query: SearchQuery, scope: Scope) -> None:
        self._db = db
        self._word = plain_word(query) or ""
        self._low, self._high = row_no_of(min(scope), 0) - 1, row_no_of(max(scope) + 1, 0)
        marks = marks_of_query(query)
        self._match = match_of((*grams_of_marks(marks), *grams_of(query)))
        self._conditions, self._values = _filters(query, marks)
        self._few = self._are_few() if marks and self._word else None

    def of(self, after: Cursor) -> sqlite3.Cursor:
        """In the order of the step, behind the cursor."""
        low = max(after.row_no, self._low) if after.step is not Step.BEGINS else self._low
        match after.step:
            case Step.EXACT:
                where, order, values = "e.folded = ? AND e.row_no > ?", "e.row_no", [self._word, low]
            case Step.BEGINS:
                where, order = "e.folded > ? AND e.folded < ? AND (e.folded, e.row_no) > (?, ?)", "e.folded, e.row_no"
                values = [self._word, self._word + LAST_CHARACTER, after.folded or self._word, after.row_no]
            case Step.HOLDS:
                if self._match and not self._few:
                    return self._ask("grams g CROSS JOIN entries e ON e.row_no = g.rowid",
                                     "grams MATCH ? AND g.rowid > ?", "g.rowid", [self._match, low])
                where, order, values = "e.row_no > ?", "e.row_no", [low]
        if self._few:
            return self._ask("json_each(?) f CROSS JOIN entries e ON e.row_no = f.value", where, order,
                             [self._few, *values])
        return self._ask("entries e", where, order, values)

    def _ask(self, source: str, where: str, order: str, values: list[Any]) -> sqlite3.Cursor:
        conditions = "".join(f" AND {condition}" for condition in ("e.row_no < ?", *self._conditions))
        return self._db.execute(f"SELECT {COLUMNS} FROM {source} WHERE {where}{conditions} ORDER BY {order}",
                                [*values, self._high, *self._values])

    def _are_few(self) -> str | None:
        """All candidates as a JSON list, if they are so few that sorting them is less than walking over the others."""
        rows = self._db.execute("SELECT rowid FROM grams WHERE grams MATCH ? AND rowid > ? AND rowid < ? LIMIT ?",
                                (self._match, self._low, self._high, FEW_MAX + 1)).fetchall()
        return None if len(rows) > FEW_MAX else json.dumps([row_no for (row_no,) in rows])


def _filters(query: SearchQuery, marks: Sequence[int]) -> tuple[list[str], list[Any]]:
    """What the catalog can leave out by itself; `SearchQuery.fits` decides. First what the index of names has."""
    conditions: list[str] = []
    values: list[Any] = []
    if bits := bits_of(marks, is_file=query.only_files):
        conditions.append("e.bits & ? = ?")
        values += [bits, bits]
    for column, low, high in (("size", query.min_size, query.max_size),
                              ("modified_ms", query.since_ms, query.until_ms)):
        if low is not None:
            conditions.append(f"e.{column} >= ?")
            values.append(low)
        if high is not None:
            conditions.append(f"e.{column} <= ?")
            values.append(high)
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


def _folders(db: sqlite3.Connection, wanted: Sequence[FolderId]) -> Iterator[tuple[FolderId, tuple[int, str]]]:
    for number, no in wanted:
        row = db.execute("SELECT parent, key FROM entries WHERE row_no = ? AND size < 0",
                         (row_no_of(number, no),)).fetchone()
        if row is not None:
            yield (number, no), row


def _placed(row: tuple[Any, ...]) -> Placed:
    return Placed(row[0], row_of(row))


def row_of(row: Iterable[Any]) -> CatalogRow:
    row_no, parent, key, size, generation, etag, content_type, owner, modified_ms, tags = row
    return CatalogRow(no_of(row_no), parent, key, size, generation, etag, content_type, owner, modified_ms,
                      json.loads(tags) if tags else {})
