"""The catalog on PostgreSQL, with pg_trgm, for when one machine is outgrown. Implements `ports.Catalog`.

Everything lies in the schema `fluffy_catalog` of the database, which can be dropped at any time. One supernode uses it:
a second one needs a database of its own (an advisory lock sees to it). The database's user must be able to create the
extension pg_trgm (a trusted one since PostgreSQL 13) and a schema.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import unicodedata
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from fluffy.base.deadline import Deadline
from fluffy.base.errors import CatalogFailed, DeadlineExceeded
from fluffy.core.federation.marks import marks_of_query, marks_of_row
from fluffy.core.federation.paging import CatalogPage, PageMaker
from fluffy.core.federation.ranking import LAST_CHARACTER, Cursor, Step, no_of, parse_cursor, plain_word, row_no_of
from fluffy.core.federation.tree import FolderId, Placed, Scope
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece, Place
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.search.query import SearchQuery, fold
from fluffy.drivers.catalog_postgres_schema import COLUMNS, FORMAT_VERSION, LOCK_KEY, PUT, SCHEMA, STATEMENTS
from fluffy.ports_federation import CatalogCluster, DeadLetter

CONNECTIONS_MAX = 8
CALL_S = 60.0
VACUUM_S = 600.0
# Candidates of the first question for a page; when they are not enough, of each next one so many times more.
BATCH = 256
# Beyond what a page wants: some candidates are none.
BATCH_MORE = 16
BATCH_GROWS = 4
BATCH_MAX = 4_096
# Sorting so many takes some 50 ms.
FEW_ROWS = 100_000
DEAD_LETTERS_MAX = 10_000
# Half of the numbers that a row number has room for.
NUMBER_BITS = 21
_LAST_PLACE = (1 << 41, "")


class PostgresCatalog:
    """`url`: postgresql://user@host/db. Used on one loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._lock: Any = None  # the connection that holds the advisory lock

    async def open(self) -> None:
        try:
            self._lock = await asyncpg.connect(self._url, timeout=10)
            if not await self._lock.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                await self._lock.close()
                raise CatalogFailed("another supernode uses this database; give each a database of its own")
            await self._prepare(self._lock)
            self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=CONNECTIONS_MAX,
                                                   command_timeout=CALL_S,
                                                   server_settings={
                                                       "search_path": f"{SCHEMA},public",
                                                       # A text decides which index is right: no plan fits all of them.
                                                       "plan_cache_mode": "force_custom_plan",
                                                       # What is searched is mostly in memory, not on a turning disk.
                                                       "random_page_cost": "1.1"})
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise CatalogFailed(f"the catalog's database cannot be used: {error}") from error

    async def _prepare(self, db: Any) -> None:
        """The tables; those of another format are thrown away."""
        await db.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        known = await db.fetchval("SELECT to_regclass($1)::text", f"{SCHEMA}.state")
        if known is not None:
            row = await db.fetchrow(f"SELECT format, unicode FROM {SCHEMA}.state")
            if row is not None and tuple(row) == (FORMAT_VERSION, unicodedata.unidata_version):
                return
        async with db.transaction():
            await db.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
            for statement in STATEMENTS:
                await db.execute(statement)
            # Somebody may still use a number of the tables that were here before: it must mean nothing in these.
            await db.execute(f"ALTER TABLE {SCHEMA}.clusters ALTER COLUMN number RESTART WITH "
                             f"{1 + secrets.randbits(NUMBER_BITS)}")
            await db.execute(f"INSERT INTO {SCHEMA}.state VALUES ($1, $2)", FORMAT_VERSION,
                             unicodedata.unidata_version)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
        if self._lock is not None and not self._lock.is_closed():
            await self._lock.close()

    async def clusters(self) -> tuple[CatalogCluster, ...]:
        async with self._opened() as db:
            rows = await db.fetch(
                "SELECT c.number, name, epoch, seq, parent, key, rows, level_ms, w.folder_no, w.after FROM clusters c"
                " LEFT JOIN LATERAL (SELECT folder_no, after FROM walks WHERE cluster_no = c.number"
                " ORDER BY folder_no LIMIT 1) w ON true ORDER BY name")
        return tuple(CatalogCluster(number, name, epoch, seq, None if parent is None else (parent, key),
                                    None if folder is None else (folder, after), count, level_ms)
                     for number, name, epoch, seq, parent, key, count, level_ms, folder, after in rows)

    async def begin(self, name: str, epoch: str, seq: int) -> CatalogCluster:
        async with self._opened() as db, db.transaction():
            await _forget(db, name)
            await db.execute("INSERT INTO clusters (name, epoch, seq, parent, key, rows, level_ms)"
                             " VALUES ($1, $2, $3, 0, '', 0, 0)", name, epoch, seq)
        return next(one for one in await self.clusters() if one.name == name)

    async def apply(self, number: int, piece: FeedPiece, level_ms: int) -> None:
        async with self._changing(number) as db:
            gone = await db.fetch(
                "DELETE FROM entries e USING unnest($2::bigint[], $3::text[]) AS p(parent, key)"
                " WHERE e.cluster_no = $1 AND e.parent = p.parent AND e.key = p.key AND e.row_no <> ALL($4::bigint[])"
                " RETURNING e.row_no", number, [place[0] for place in piece.places],
                [place[1] for place in piece.places], [row_no_of(number, row.no) for row in piece.rows])
            await _count_gone(db, number, [row[0] for row in gone])
            await _put(db, number, piece.rows)
            await db.executemany("INSERT INTO walks VALUES ($1, $2, '') ON CONFLICT (cluster_no, folder_no)"
                                 " DO UPDATE SET after = ''", [(number, no) for no in piece.walks])
            # What a parameter is compared with says of which kind it is: 0 would make it too short for a time.
            await db.execute("UPDATE clusters SET seq = $2, level_ms = CASE WHEN $3::bigint > 0 THEN $3::bigint"
                             " ELSE level_ms END WHERE number = $1", number, piece.seq, level_ms)

    async def load(self, number: int, rows: Sequence[CatalogRow], after: Place | None) -> None:
        async with self._changing(number) as db:
            await _put(db, number, rows)
            parent, key = (None, None) if after is None else after
            await db.execute("UPDATE clusters SET parent = $2, key = $3 WHERE number = $1", number, parent, key)
        if after is None:
            # A tree was read: what the planner knows of the table is not true any more, and rows of pages that were
            # never looked through cannot be judged by an index alone.
            async with self._opened() as db:
                await db.execute("VACUUM (ANALYZE) entries", timeout=VACUUM_S)

    async def load_folder(self, number: int, folder_no: int, rows: Sequence[CatalogRow], after: str | None) -> None:
        async with self._changing(number) as db:
            await _put(db, number, rows)
            await db.executemany("INSERT INTO walks VALUES ($1, $2, '') ON CONFLICT (cluster_no, folder_no)"
                                 " DO UPDATE SET after = ''", [(number, row.no) for row in rows if row.is_folder])
            if after is None:
                await db.execute("DELETE FROM walks WHERE cluster_no = $1 AND folder_no = $2", number, folder_no)
            else:
                await db.execute("UPDATE walks SET after = $3 WHERE cluster_no = $1 AND folder_no = $2", number,
                                 folder_no, after)

    async def rows(self, number: int, after: Place, limit: int) -> tuple[CatalogRow, ...]:
        async with self._opened() as db:
            return tuple(_row(row) for row in await db.fetch(
                f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = $1 AND (parent, key) > ($2, $3)"
                " ORDER BY parent, key, row_no LIMIT $4", number, *after, limit))

    async def replace(self, number: int, after: Place, through: Place | None, rows: Sequence[CatalogRow]) -> int:
        async with self._changing(number) as db:
            known = {row.no: row for row in map(_row, await db.fetch(
                f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = $1 AND (parent, key) > ($2, $3)"
                " AND (parent, key) <= ($4, $5)", number, *after, *(through or _LAST_PLACE)))}
            right = {row.no for row in rows}
            wrong = [row for row in rows if known.get(row.no) != row]
            gone = [row_no_of(number, no) for no in known if no not in right]
            await db.execute("DELETE FROM entries WHERE row_no = ANY($1::bigint[])", gone)
            await _count_gone(db, number, gone)
            await _put(db, number, wrong)
            return len(wrong) + len(gone)

    async def forget(self, name: str) -> None:
        async with self._opened() as db, db.transaction():
            await _forget(db, name)

    async def sweep(self, limit: int) -> int:
        async with self._opened() as db, db.transaction():
            gone = [row[0] for row in await db.fetch(
                "DELETE FROM entries WHERE row_no IN (SELECT row_no FROM entries e WHERE NOT EXISTS"
                " (SELECT 1 FROM clusters c WHERE c.number = e.cluster_no) LIMIT $1) RETURNING row_no", limit)]
            return len(gone)

    async def set_aside(self, letters: Sequence[DeadLetter]) -> None:
        async with self._opened() as db, db.transaction():
            await db.executemany(
                "INSERT INTO dead_letters (cluster, seq, at_ms, reason, text) VALUES ($1, $2, $3, $4, $5)",
                [(one.cluster, one.seq, one.at_ms, one.reason, one.text.replace("\0", "?")) for one in letters])
            await db.execute("DELETE FROM dead_letters WHERE no <= (SELECT max(no) FROM dead_letters) - $1",
                             DEAD_LETTERS_MAX)

    async def dead_letters(self, limit: int) -> tuple[DeadLetter, ...]:
        async with self._opened() as db:
            return tuple(DeadLetter(*row) for row in await db.fetch(
                "SELECT cluster, seq, at_ms, reason, text FROM dead_letters ORDER BY no DESC LIMIT $1", limit))

    async def search(self, query: SearchQuery, scope: Scope, after: str | None, limit: int,
                     deadline: Deadline) -> CatalogPage:
        cursor = parse_cursor(after, query)
        maker = PageMaker(query, scope, limit)
        if not scope:
            return maker.page(is_over=True)
        try:
            async with asyncio.timeout(deadline.left_s), self._opened() as db, db.transaction(
                    isolation="repeatable_read", readonly=True):
                await _check_numbers(db, scope)
                sorts = await _are_few(db, query)
                for step in Step:
                    if step >= cursor.step and await _fill(db, maker, query, scope, cursor if step is cursor.step
                                                           else Cursor(step), sorts=sorts):
                        return maker.page(is_over=False)
        except TimeoutError as error:
            raise DeadlineExceeded from error
        return maker.page(is_over=True)

    async def list_folder(self, number: int, path: str, after: str, limit: int) -> tuple[CatalogRow, ...] | None:
        async with self._opened() as db:
            folder_no = await _folder(db, number, path)
            return None if folder_no is None else tuple(_row(row) for row in await db.fetch(
                f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = $1 AND parent = $2 AND key > $3 ORDER BY key"
                " LIMIT $4", number, folder_no, after, limit))

    async def find(self, number: int, path: str) -> CatalogRow | None:
        parent, _, name = path.rpartition("/")
        async with self._opened() as db:
            folder_no = await _folder(db, number, parent)
            row = None if folder_no is None else await db.fetchrow(
                f"SELECT {COLUMNS} FROM entries e WHERE cluster_no = $1 AND parent = $2 AND key IN ($3, $4)"
                " ORDER BY key LIMIT 1", number, folder_no, name, name + "/")
        return None if row is None else _row(row)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Any]:
        if self._pool is None:
            raise CatalogFailed
        try:
            async with self._pool.acquire(timeout=CALL_S) as db:
                yield db
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise CatalogFailed(f"the catalog's database cannot be used: {error}") from error

    @asynccontextmanager
    async def _changing(self, number: int) -> AsyncIterator[Any]:
        """A transaction about a cluster that is still the one of that number."""
        async with self._opened() as db, db.transaction():
            if await db.fetchval("SELECT 1 FROM clusters WHERE number = $1 FOR UPDATE", number) is None:
                raise CatalogFailed("the catalog of a cluster is built anew; ask again")
            yield db


async def _check_numbers(db: Any, numbers: Iterable[int]) -> None:
    known = {row[0] for row in await db.fetch("SELECT number FROM clusters")}
    if not known.issuperset(numbers):
        raise CatalogFailed("the catalog of a cluster is built anew; ask again")


async def _fill(db: Any, maker: PageMaker, query: SearchQuery, scope: Scope, begin: Cursor, *, sorts: bool) -> bool:
    """Take the candidates of one step; True: the page is full. `sorts`: see `_candidates`."""
    limit = min(BATCH, maker.wanted + BATCH_MORE)
    while True:
        text, values = _candidates(query, scope, begin, limit, sorts=sorts)
        batch = [Placed(row[0], _row(row)) for row in await db.fetch(text, *values)]
        while missing := maker.missing(begin.step, batch):
            maker.folders.learn(missing, await _folders(db, missing))
        maker.take(begin.step, batch)
        if maker.is_full:
            return True
        if len(batch) < limit:
            return False
        last = batch[-1]
        begin = Cursor(begin.step, last.row_no, fold(last.row.name))
        limit = min(limit * BATCH_GROWS, BATCH_MAX)


def _bounds(query: SearchQuery) -> list[tuple[str, str, int]]:
    """What a search demands of sizes and times: column, comparison, value."""
    least_size = max(query.min_size or 0, 0) if query.only_files else query.min_size
    bounds = (("size", ">=", least_size), ("size", "<=", query.max_size),
              ("modified_ms", ">=", query.since_ms), ("modified_ms", "<=", query.until_ms))
    return [(column, comparison, value) for column, comparison, value in bounds if value is not None]


async def _are_few(db: Any, query: SearchQuery) -> bool:
    """Whether times alone leave so few rows that sorting them costs less than walking to where they are.

    The planner takes them for spread evenly over the table, as sizes are; but the newest files are mostly at the end of
    each cluster.
    """
    bounds = [bound for bound in _bounds(query) if bound[0] == "modified_ms"]
    if query.terms or not bounds:
        return False
    conditions = " AND ".join(f"{column} {comparison} ${number}" for number, (column, comparison, _)
                              in enumerate(bounds, 1))
    count = await db.fetchval(f"SELECT count(*) FROM (SELECT 1 FROM entries WHERE {conditions} LIMIT {FEW_ROWS}) few",
                              *[value for _, _, value in bounds])
    return bool(count < FEW_ROWS)


def _candidates(query: SearchQuery, scope: Scope, after: Cursor, limit: int, *,
                sorts: bool = False) -> tuple[str, list[Any]]:
    """Rows that may fit, in the order of the step, behind the cursor.

    `sorts`: times leave few (`_are_few`).
    The limit tells the planner that the first rows are wanted soon, and only what an index has is asked of each row
    before the few that are wanted are fetched. No condition is said twice, so that it can count.
    """
    values: list[Any] = []
    conditions: list[str] = []

    def given(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    low = max(after.row_no, row_no_of(min(scope), 0) - 1) if after.step is not Step.BEGINS else 0
    conditions += [f"e.row_no > {given(low)}"] if low else []
    conditions.append(f"e.row_no < {given(row_no_of(max(scope) + 1, 0))}")
    word, order = plain_word(query) or "", "row_no"
    if after.step is Step.EXACT:
        conditions.append(f"e.folded = {given(word)}")
    elif after.step is Step.BEGINS:
        order = "folded, row_no"
        behind = f"(e.folded, e.row_no) > ({given(after.folded)}, {given(after.row_no)})" if after.folded else (
            f"e.folded > {given(word)}")
        conditions += [behind, f"e.folded < {given(word + LAST_CHARACTER)}"]
    else:
        conditions += [f"e.folded LIKE {given('%' + _escaped(literal) + '%')}"
                       for term in query.terms for literal in term.literals]
    if marks := marks_of_query(query):
        conditions.append(f"e.marks @> {given(list(marks))}::bigint[]")
    conditions += [f"e.{column} {comparison} {given(value)}" for column, comparison, value in _bounds(query)]
    # An expression is no index's order: the rows are found by their time, and sorted.
    inner = "row_no + 0" if sorts and order == "row_no" else order
    return (f"SELECT {COLUMNS} FROM (SELECT row_no, folded FROM entries e WHERE {' AND '.join(conditions)}"
            f" ORDER BY {inner} LIMIT {given(limit)}) k JOIN entries e ON e.row_no = k.row_no"
            f" ORDER BY {', '.join('k.' + column for column in order.split(', '))}", values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def _folders(db: Any, wanted: Sequence[FolderId]) -> dict[FolderId, tuple[int, str]]:
    numbers = {row_no_of(*folder): folder for folder in wanted}
    rows = await db.fetch("SELECT row_no, parent, key FROM entries WHERE row_no = ANY($1::bigint[]) AND size < 0",
                          list(numbers))
    return {numbers[row_no]: (parent, key) for row_no, parent, key in rows}


async def _folder(db: Any, number: int, path: str) -> int | None:
    folder_no = ROOT_NO
    for segment in path.split("/") if path else ():
        row_no = await db.fetchval("SELECT row_no FROM entries WHERE cluster_no = $1 AND parent = $2 AND key = $3",
                                   number, folder_no, segment + "/")
        if row_no is None:
            return None
        folder_no = no_of(row_no)
    return folder_no


async def _forget(db: Any, name: str) -> None:
    await db.execute("DELETE FROM walks WHERE cluster_no IN (SELECT number FROM clusters WHERE name = $1)", name)
    await db.execute("DELETE FROM clusters WHERE name = $1", name)


async def _put(db: Any, number: int, rows: Sequence[CatalogRow]) -> None:
    """Insert or change rows. An entry keeps its number when it moves."""
    latest = {row_no_of(number, row.no): row for row in rows}
    if not latest:
        return
    numbers = list(latest)
    old = await db.fetchval("SELECT count(*) FROM entries WHERE row_no = ANY($1::bigint[])", numbers)
    lines = [(row_no, number, row.parent, row.key, fold(row.name), row.size, row.generation, row.etag,
              row.content_type, row.owner, row.modified_ms,
              json.dumps(dict(row.tags), ensure_ascii=False) if row.tags else None, _array(marks_of_row(row)))
             for row_no, row in latest.items()]
    await db.execute(PUT, *(list(column) for column in zip(*lines, strict=True)))
    await db.execute("UPDATE clusters SET rows = rows + $2 WHERE number = $1", number, len(latest) - old)


async def _count_gone(db: Any, number: int, gone: Sequence[int]) -> None:
    if gone:
        await db.execute("UPDATE clusters SET rows = rows - $2 WHERE number = $1", number, len(gone))


def _array(marks: Sequence[int]) -> str:
    """In PostgreSQL's words, because arrays of arrays must all be of one length."""
    return "{" + ",".join(map(str, marks)) + "}"


def _row(row: Any) -> CatalogRow:
    row_no, parent, key, size, generation, etag, content_type, owner, modified_ms, tags = row
    return CatalogRow(no_of(row_no), parent, key, size, generation, etag, content_type, owner, modified_ms,
                      json.loads(tags) if tags else {})
