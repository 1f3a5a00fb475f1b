"""Work beside the log's loop: checkpoint copies, and moving the WAL into the database file.

Both read or write SQLite files in C with the GIL released; the loop only looks whether they are done.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fluffy.base.units import MIB
from fluffy.drivers.raft.checkpoint_files import Copied

log = logging.getLogger(__name__)

WAL_LOOK_EVERY_S = 1.0
# A WAL below this is left alone: moving it costs an fsync of both files.
WAL_BYTES_MIN = 32 * MIB
# From here on the writer itself moves the little that came since, and begins the file anew: while writes never pause,
# moving beside them does not end, for there is always something after what was moved.
WAL_BYTES_MAX = 128 * MIB


class ThreadJob:
    def __init__(self, future: Future[Copied]) -> None:
        self._future = future

    def poll(self) -> Copied | None:
        return self._future.result() if self._future.done() else None


class ThreadJobs:
    """One thread for checkpoint copies: two at once would only disturb each other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    def start(self, work: Callable[[], Copied]) -> ThreadJob:
        return ThreadJob(self._pool.submit(work))

    def close(self) -> None:
        self._pool.shutdown(wait=True)


class WalKeeper(threading.Thread):
    """Moves the WAL into the database now and then, so that the writer never has to do it inside a turn."""

    def __init__(self, current: Callable[[], Path]) -> None:
        super().__init__(name="wal", daemon=True)
        self._current = current
        self._stopping = threading.Event()
        self._overgrown = False

    def run(self) -> None:
        while not self._stopping.wait(WAL_LOOK_EVERY_S):
            path = self._current()
            wal = path.with_name(path.name + "-wal")
            try:
                if wal.stat().st_size >= WAL_BYTES_MIN:
                    _move_wal(path)
                self._overgrown = wal.stat().st_size >= WAL_BYTES_MAX
            except FileNotFoundError:
                continue  # a checkpoint was installed between the two looks

    def shorten(self, writer: sqlite3.Connection) -> None:
        """Called by the writer between transactions: begin the WAL anew if it outgrew its bound and nobody reads it.

        Right after a move there is little left to do; where a reader is in the way, the next move asks again.
        """
        if not self._overgrown:
            return
        self._overgrown = False
        (patience_ms,) = writer.execute("PRAGMA busy_timeout").fetchone()
        writer.execute("PRAGMA busy_timeout=0")
        try:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            writer.execute(f"PRAGMA busy_timeout={patience_ms}")

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def _move_wal(path: Path) -> None:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:
        log.warning("state.wal_not_moved", extra={"error": str(error)})
    finally:
        db.close()
