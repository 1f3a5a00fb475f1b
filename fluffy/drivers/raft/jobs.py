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

    def run(self) -> None:
        while not self._stopping.wait(WAL_LOOK_EVERY_S):
            path = self._current()
            wal = path.with_name(path.name + "-wal")
            try:
                if wal.stat().st_size >= WAL_BYTES_MIN:
                    _move_wal(path)
            except FileNotFoundError:
                continue  # a checkpoint was installed between the two looks

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
