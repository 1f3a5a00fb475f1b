"""The catalog on SQLite: one file, FTS5 trigrams, one writer and several readers. Implements `ports.Catalog`.

The file can be thrown away at any time; one that is damaged, or of another format, is made anew.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import CatalogFailed, DeadlineExceeded
from fluffy.base.threads import in_thread
from fluffy.core.federation.paging import CatalogPage
from fluffy.core.federation.tree import Scope
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece, Place
from fluffy.core.search.query import SearchQuery
from fluffy.drivers import catalog_sqlite_reading as reading
from fluffy.drivers import catalog_sqlite_writing as writing
from fluffy.drivers.catalog_sqlite_files import FILE_NAME, open_for_reading, open_for_writing
from fluffy.ports_federation import CatalogCluster, DeadLetter

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

# Searches are CPU-bound inside SQLite, which releases the GIL; more threads than this only wait for cores.
READERS = 4
READ_S = 10.0
_BAD_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_STEPS_PER_ASKING = 10_000


class SqliteCatalog:
    """In `folder`, which is made. Used on one loop."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._db: sqlite3.Connection | None = None
        self._inode = 0  # of the file that is open; 0: it must not be used any more
        self._is_damaged = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="catalog-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-read")
        self._idle: list[sqlite3.Connection] = []

    async def open(self) -> None:
        await in_thread(self._writer, self._open)

    async def close(self) -> None:
        await in_thread(self._writer, self._close)
        self._writer.shutdown()
        self._readers.shutdown()

    async def clusters(self) -> tuple[CatalogCluster, ...]:
        return await self._read(reading.clusters, Deadline.after(READ_S))

    async def begin(self, name: str, epoch: str, seq: int) -> CatalogCluster:
        return await self._write(writing.begin, name, epoch, seq)

    async def apply(self, number: int, piece: FeedPiece, level_ms: int) -> None:
        await self._write(writing.apply, number, piece, level_ms)

    async def load(self, number: int, rows: Sequence[CatalogRow], after: Place | None) -> None:
        await self._write(writing.load, number, rows, after)

    async def load_folder(self, number: int, folder_no: int, rows: Sequence[CatalogRow], after: str | None) -> None:
        await self._write(writing.load_folder, number, folder_no, rows, after)

    async def rows(self, number: int, after: Place, limit: int) -> tuple[CatalogRow, ...]:
        return await self._read(reading.rows, Deadline.after(READ_S), number, after, limit)

    async def replace(self, number: int, after: Place, through: Place | None, rows: Sequence[CatalogRow]) -> int:
        return await self._write(writing.replace, number, after, through, rows)

    async def forget(self, name: str) -> None:
        await self._write(writing.forget, name)

    async def sweep(self, limit: int) -> int:
        return await self._write(writing.sweep, limit)

    async def set_aside(self, letters: Sequence[DeadLetter]) -> None:
        await self._write(writing.set_aside, letters)

    async def dead_letters(self, limit: int) -> tuple[DeadLetter, ...]:
        return await self._read(reading.dead_letters, Deadline.after(READ_S), limit)

    async def search(self, query: SearchQuery, scope: Scope, after: str | None, limit: int,
                     deadline: Deadline) -> CatalogPage:
        return await self._read(reading.search, deadline, query, scope, after, limit)

    async def list_folder(self, number: int, path: str, after: str, limit: int) -> tuple[CatalogRow, ...] | None:
        return await self._read(reading.list_folder, Deadline.after(READ_S), number, path, after, limit)

    async def find(self, number: int, path: str) -> CatalogRow | None:
        return await self._read(reading.find, Deadline.after(READ_S), number, path)

    # In threads

    def _open(self) -> None:
        if self._db is not None and self._is_there():
            return
        self._close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = open_for_writing(self._path, anew=self._is_damaged)
            self._is_damaged = False
            self._inode = self._path.stat().st_ino
        except (OSError, sqlite3.Error) as error:
            raise CatalogFailed(f"{self._path} cannot be used: {error}") from error

    def _is_there(self) -> bool:
        """Whether the file that was opened is still the one at the path. Some microseconds."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    async def _ensure(self) -> None:
        """Begin anew when somebody has taken the file away, or it is damaged."""
        if not self._is_there():
            log.warning("catalog.begun_anew", extra={"path": self._path})
            await in_thread(self._writer, self._open)

    def _damaged(self, error: sqlite3.Error) -> CatalogFailed:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BAD_FILE:
            self._inode, self._is_damaged = 0, True
        return CatalogFailed(f"the catalog cannot be used: {error}")

    def _close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        if self._db is not None:
            self._db.close()
            self._db = None

    async def _write(self, change: Callable[Concatenate[sqlite3.Connection, P], T], *arguments: P.args,
                     **named: P.kwargs) -> T:
        def run() -> T:
            if self._db is None:
                raise CatalogFailed
            try:
                with _transaction(self._db) as db:
                    return change(db, *arguments, **named)
            except sqlite3.Error as error:
                raise self._damaged(error) from error

        await self._ensure()
        return await in_thread(self._writer, run)

    async def _read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], deadline: Deadline,
                    *arguments: P.args, **named: P.kwargs) -> T:
        def run() -> T:
            with self._opened(deadline) as db:
                return query(db, *arguments, **named)

        await self._ensure()
        return await in_thread(self._readers, run)

    @contextmanager
    def _opened(self, deadline: Deadline) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction, interrupted at the deadline."""
        inode = self._inode
        db = self._take()
        kept = False
        try:
            db.set_progress_handler(lambda: deadline.passed, _STEPS_PER_ASKING)
            db.execute("BEGIN")
            yield db
            db.set_progress_handler(None, 0)
            db.execute("COMMIT")
            kept = True
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_INTERRUPT:
                raise DeadlineExceeded from error
            raise self._damaged(error) from error
        finally:
            if kept and inode == self._inode:
                self._idle.append(db)
            else:
                db.close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._fresh()

    def _fresh(self) -> sqlite3.Connection:
        try:
            return open_for_reading(self._path)
        except sqlite3.Error as error:
            raise CatalogFailed(f"{self._path} cannot be read: {error}") from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
