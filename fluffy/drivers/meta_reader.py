"""Reading `meta.db` from gateways and the keeper, while the log process writes it.

SQLite's WAL gives every read a consistent snapshot without waiting for the writer. The file behind the link `meta.db`
changes when a checkpoint is installed: each use compares the link's target (a microsecond) and opens the new file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NotReady, Overloaded
from fluffy.base.sqlite_values import bind_as_they_are
from fluffy.core.metadata.migrations import format_of
from fluffy.core.metadata.schema import FORMAT_VERSION

T = TypeVar("T")

# In the node's folder: a symbolic link to `meta.N.db`.
LINK_NAME = "meta.db"
# Made by whoever finds that the database is damaged; the log process then makes it anew from checkpoint and log.
DAMAGED_MARK = "meta.damaged"
DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
READER_CACHE_KIB = 8 * 1024
# Every query of every listing stays compiled.
CACHED_STATEMENTS = 128
# Readers wait only while the writer opens or removes the WAL, which takes milliseconds.
BUSY_S = 1.0
# A file behind the link may be replaced while it is opened; twice in a row does not happen.
OPEN_ATTEMPTS_MAX = 3
# Scans are CPU-bound inside SQLite, which releases the GIL; more threads than this only wait for cores.
THREADS = 4
# Waiting and running scans; each answers within its deadline, so a longer queue would only be thrown away.
SCANS_MAX = 64
# SQLite asks after so many of its steps (some 0.1 ms) whether the deadline has passed.
_STEPS_PER_ASKING = 10_000
_NOT_READY = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@dataclass(slots=True)
class _Opened:
    """A connection, and the link target it was opened for."""

    target: str
    db: sqlite3.Connection


@dataclass(slots=True)
class _Waiter:
    """Shared by the coroutine that waits for a scan and the thread that runs it."""

    deadline: Deadline
    gone: bool = False

    def should_stop(self) -> bool:
        return self.gone or self.deadline.passed


class MetaReader:
    """Implements `ports.MetadataReader` on the node folder. `read` belongs to one thread, the event loop's."""

    def __init__(self, node_dir: Path) -> None:
        self._link = node_dir / LINK_NAME
        self._main: _Opened | None = None
        self._idle: list[_Opened] = []
        self._scans = 0
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="meta-scan")

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` in one read transaction. Blocking, for point reads. Raises NotReady while there is nothing."""
        opened, self._main = self._main, None
        try:
            self._main = self._current(opened)
            return _in_transaction(self._main.db, query)
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    async def read_in_thread(self, query: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """The same in a thread, for scans. Raises DeadlineExceeded, Overloaded when SCANS_MAX wait already."""
        if self._scans >= SCANS_MAX:
            raise Overloaded("this node runs as many listings and searches as it can; try again shortly")
        self._scans += 1
        waiter = _Waiter(deadline)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._scan, query, waiter)
        finally:
            waiter.gone = True
            self._scans -= 1

    def close(self) -> None:
        """Close all connections; waits for running scans, which end at their deadlines."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._main is not None:
            self._main.db.close()
            self._main = None
        for opened in self._idle:
            opened.db.close()
        self._idle.clear()

    def _scan(self, query: Callable[[sqlite3.Connection], T], waiter: _Waiter) -> T:
        if waiter.should_stop():
            raise DeadlineExceeded
        opened: _Opened | None = None
        try:
            opened = self._current(self._take_idle())
            opened.db.set_progress_handler(waiter.should_stop, _STEPS_PER_ASKING)
            return _in_transaction(opened.db, query)
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error
        finally:
            if opened is not None:
                opened.db.set_progress_handler(None, 0)
                if opened.db.in_transaction:  # the stop came during COMMIT
                    opened.db.execute("ROLLBACK")
                self._idle.append(opened)  # at most one for each thread of the pool

    def _take_idle(self) -> _Opened | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _current(self, opened: _Opened | None) -> _Opened:
        """`opened` if it still is what the link means, else a new connection."""
        target = self._target()
        if opened is not None:
            if opened.target == target:
                return opened
            opened.db.close()
        for _ in range(OPEN_ATTEMPTS_MAX):
            try:
                return _Opened(target, _open(self._link.parent / target))
            except sqlite3.OperationalError:
                replaced = self._target()
                if replaced == target:
                    raise
                target = replaced
        raise NotReady

    def _translated(self, error: sqlite3.DatabaseError) -> Exception:
        """What a caller can act on; our own mistakes in SQL stay what they are. Damage is told to the log process."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in DAMAGE_CODES:
            self._link.with_name(DAMAGED_MARK).touch()
            return NotReady("the metadata on this node is damaged; it is being made anew")
        if code == sqlite3.SQLITE_INTERRUPT:
            return DeadlineExceeded()
        return NotReady() if code in _NOT_READY else error

    def _target(self) -> str:
        try:
            return os.readlink(self._link)
        except FileNotFoundError as error:
            raise NotReady from error


def _open(path: Path) -> sqlite3.Connection:
    """A connection that cannot change anything; may be handed from thread to thread, one at a time.

    Raises NotReady before the log process has made, or migrated, the tables.
    """
    # as_uri quotes what would end the name: '?', '#', '%'.
    bind_as_they_are()
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                         cached_statements=CACHED_STATEMENTS, check_same_thread=False, timeout=BUSY_S)
    try:
        db.execute("PRAGMA query_only = ON")
        db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
        if format_of(db) != FORMAT_VERSION:
            raise NotReady
    except BaseException:
        db.close()
        raise
    return db


def _in_transaction(db: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN")
    try:
        return query(db)
    finally:
        db.execute("COMMIT")
