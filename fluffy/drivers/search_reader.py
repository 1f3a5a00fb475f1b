"""The reading side of the search index: candidates from `search.db`, each looked up in the state before it is shown.

While the index is missing, being built, or of no use (texts below three characters, filters alone), the names of the
state are looked through instead, within the deadline: the same answers, only slower. Implements `ports.NameSearch`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NotReady
from fluffy.core.metadata.model import Entry, Page
from fluffy.core.metadata.queries_search import FoundEntries, feed_point, users_by_name
from fluffy.core.search.plan import (
    SearchPage,
    SearchStatus,
    grams_of,
    index_cursor,
    match_of,
    parse_cursor,
    scan_cursor,
    tag_range,
    tag_text,
)
from fluffy.core.search.query import SearchQuery
from fluffy.drivers.search_files import is_usable, open_for_reading, target_of
from fluffy.drivers.search_index import read_state
from fluffy.ports import IndexState

# Looked at for one page; then the page is short and its cursor goes on. A tenth of a second or two.
CANDIDATES_MAX = 20_000
# Names looked through by a scan for one page: a second or so.
SCANNED_MAX = 1_000_000
_STEPS_PER_ASKING = 10_000
_SIZE_MAX = (1 << 63) - 1
_NO_INDEX = "the search index is missing; names are looked through one by one"
_BUILDING = "the search index is being rebuilt; names are looked through one by one"


class SearchReader:
    """Any number of threads, each call with a connection of its own."""

    def __init__(self, node_dir: Path) -> None:
        self._dir = node_dir
        self._idle: list[tuple[str, sqlite3.Connection]] = []

    def search(self, db: sqlite3.Connection, query: SearchQuery, buckets: frozenset[str] | None, after: str | None,
               limit: int, deadline: Deadline) -> SearchPage:
        """A page of what fits; it may be short while `after` says that there is more. Blocking.

        `db`: the state, in a read transaction. `buckets`: what the asker may read, None: everything.
        """
        cursor = parse_cursor(after)
        found = FoundEntries(db, buckets)
        if isinstance(cursor, tuple) or not (query.tags or grams_of(query)):
            return SearchPage(_scan(found, query, cursor if isinstance(cursor, tuple) else None, limit), "scan")
        reason = _NO_INDEX
        try:
            with self._opened(deadline) as index:
                if index is not None:
                    state = read_state(index)
                    if _is_of(db, state):
                        if state.building is None:
                            users = users_by_name(db)
                            rows = _candidates(index, query, users, cursor or 0)
                            return SearchPage(_page(found, query, rows, limit), "index")
                        reason = _BUILDING
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_INTERRUPT:
                raise DeadlineExceeded from error
            reason = "the search index cannot be read; names are looked through one by one"
        if cursor is not None:
            raise NotReady("the search index is being rebuilt; begin this search again, without 'after'")
        return SearchPage(_scan(found, query, None, limit), "scan", reason)

    def status(self, db: sqlite3.Connection, now_ms: int) -> SearchStatus:
        """How far the index is behind the state. Blocking, some microseconds."""
        state = None
        try:
            with self._opened(Deadline.after(1.0)) as index:
                if index is not None:
                    state = read_state(index)
        except sqlite3.DatabaseError:
            state = None
        if state is None or not _is_of(db, state):
            seq = feed_point(db).seq
            return SearchStatus("missing", 0, 0, seq, 0)
        point = feed_point(db, state.seq)
        lag_ms = 0 if point.behind_at_ms is None else max(0, now_ms - point.behind_at_ms)
        return SearchStatus("ready" if state.building is None else "rebuilding", state.rows, state.seq,
                            max(0, point.seq - state.seq), lag_ms)

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    @contextmanager
    def _opened(self, deadline: Deadline) -> Iterator[sqlite3.Connection | None]:
        """A connection in a read transaction; None: there is no usable index."""
        target = target_of(self._dir)
        if target is None:
            yield None
            return
        db = self._take(target)
        if db is None:
            yield None
            return
        kept = False
        try:
            db.set_progress_handler(lambda: deadline.passed, _STEPS_PER_ASKING)
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.set_progress_handler(None, 0)
                db.execute("COMMIT")
            kept = True
        finally:
            if kept:
                self._idle.append((target, db))
            else:
                db.close()

    def _take(self, target: str) -> sqlite3.Connection | None:
        while True:
            try:
                known, db = self._idle.pop()
            except IndexError:
                break
            if known == target:
                return db
            db.close()
        fresh = open_for_reading(self._dir / target)
        usable = False
        try:
            usable = is_usable(fresh)
        finally:
            if not usable:
                fresh.close()
        return fresh if usable else None


def _is_of(db: sqlite3.Connection, state: IndexState) -> bool:
    point = feed_point(db)
    return state.cluster_uuid == point.cluster_uuid


def _candidates(index: sqlite3.Connection, query: SearchQuery, users: dict[str, int], after: int,
                ) -> Iterable[tuple[int, int, str]]:
    """(no, folder number, key) of rows that may fit, by number."""
    conditions: list[str] = []
    values: list[Any] = []
    grams = grams_of(query)
    if grams:
        source = "grams g JOIN names n ON n.no = g.rowid WHERE grams MATCH ? AND g.rowid > ?"
        order = "g.rowid"
        values += [match_of(grams), after]
    else:
        source = "names n WHERE n.no > ?"
        order = "n.no"
        values.append(after)
    for tag in query.tags:
        if tag.value is not None:
            conditions.append("n.no IN (SELECT no FROM tags WHERE tag = ?)" if not grams else
                              "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.no = n.no)")
            values.append(tag_text(tag.key, tag.value))
        else:
            conditions.append("n.no IN (SELECT no FROM tags WHERE tag >= ? AND tag < ?)")
            values += tag_range(tag.key)
    _ranges(query, users, conditions, values)
    where = "".join(f" AND {condition}" for condition in conditions)
    return index.execute(f"SELECT n.no, n.parent, n.key FROM {source}{where} ORDER BY {order}", values)


def _ranges(query: SearchQuery, users: dict[str, int], conditions: list[str], values: list[Any]) -> None:
    """What the index knows of sizes, times, owners and types; as old as the index, so `fits` looks again."""
    for column, low, high in (("size", query.min_size, query.max_size),
                              ("modified_ms", query.since_ms, query.until_ms)):
        if low is not None:
            conditions.append(f"n.{column} >= ?")
            values.append(low)
        if high is not None:
            conditions.append(f"n.{column} <= ?")
            values.append(high)
    if query.only_files:
        conditions.append("n.size >= 0")
    if query.owner is not None:
        conditions.append("(n.owner_no = ? OR n.size < 0)")  # a bucket may be given away without a word in the feed
        values.append(users.get(query.owner, -1))
    if query.content_type is not None:
        conditions.append("substr(n.content_type, 1, ?) = ?")
        values += [len(query.content_type), query.content_type]


def _page(found: FoundEntries, query: SearchQuery, rows: Iterable[tuple[int, int, str]], limit: int) -> Page:
    hits: list[Entry] = []
    last = 0
    for count, (no, parent, key) in enumerate(rows):
        if len(hits) >= limit or count >= CANDIDATES_MAX:
            return Page(tuple(hits), index_cursor(last))
        last = no
        if query.fits_name(key.removesuffix("/")):
            hit = found.at(no, parent, key)
            if hit is not None and query.fits(hit):
                hits.append(hit.entry)
    return Page(tuple(hits), None)


def _scan(found: FoundEntries, query: SearchQuery, after: tuple[int, str] | None, limit: int) -> Page:
    hits: list[Entry] = []
    last = after or (0, "")
    rows = found.scan(last, like_of(query), query.min_size or 0,
                      _SIZE_MAX if query.max_size is None else query.max_size)
    for count, (place, hit) in enumerate(rows):
        if len(hits) >= limit or count >= SCANNED_MAX:
            return Page(tuple(hits), scan_cursor(last))
        last = place
        if query.fits(hit):
            hits.append(hit.entry)
    return Page(tuple(hits), None)


def like_of(query: SearchQuery) -> str | None:
    """A LIKE pattern that all fitting ASCII names fit; None: any."""
    literals = [literal for term in query.terms for literal in term.literals]
    if not literals:
        return None
    longest = max(literals, key=len)
    escaped = longest.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


