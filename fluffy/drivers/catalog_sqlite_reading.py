"""Questions to the SQLite catalog, each in the read transaction of its caller."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fluffy.base.errors import CatalogFailed
from fluffy.core.federation.paging import CatalogPage, PageMaker
from fluffy.core.federation.ranking import Cursor, Step, no_of, parse_cursor, row_no_of
from fluffy.core.federation.tree import FolderId, Placed, Scope
from fluffy.core.metadata.queries_federation import CatalogRow, Place
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.search.query import SearchQuery
from fluffy.drivers.catalog_sqlite_candidates import COLUMNS, Candidates
from fluffy.ports_federation import CatalogCluster, DeadLetter

# One round of looking up folders for so many candidates; a page mostly needs one.
BATCH = 256
# Beyond what a page still wants: some candidates are none.
BATCH_MORE = 16
# A page that is not full by then ends where it is, and its cursor goes on.
PAGE_S = 0.05
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
    candidates, end_s = Candidates(db, query, scope), time.monotonic() + PAGE_S
    for step in Step:
        if step < cursor.step:
            continue
        for stretch in candidates.stretches(cursor if step is cursor.step else Cursor(step)):
            if _take(db, maker, step, stretch.rows):
                return maker.page(is_over=False)
            if stretch.end is not None and time.monotonic() >= end_s:
                maker.reached(stretch.end)
                return maker.page(is_over=False)
    return maker.page(is_over=True)


def _take(db: sqlite3.Connection, maker: PageMaker, step: Step, found: sqlite3.Cursor) -> bool:
    """Take the candidates of a stretch; True: the page is full."""
    while batch := [_placed(row) for row in found.fetchmany(min(BATCH, maker.wanted + BATCH_MORE))]:
        while missing := maker.missing(step, batch):
            maker.folders.learn(missing, dict(_folders(db, missing)))
        maker.take(step, batch)
        if maker.is_full:
            return True
    return False


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
