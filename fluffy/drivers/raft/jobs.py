"""Work beside the log's loop: checkpoint copies, and moving the WAL into the database file.

Both read or write SQLite files in C with the GIL released; the loop only looks whether they are done.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fluffy.base.units import KIB, MIB
from fluffy.drivers.raft.checkpoint_files import Copied

log = logging.getLogger(__name__)

WAL_LOOK_EVERY_S = 1.0
# Less than this is left in the WAL: moving it costs an fsync of both files.
WAL_BYTES_MIN = 32 * MIB
# The writer begins the WAL anew, over its old bytes, only when nothing was committed since the last pass began. Each
# pass has less to do than the one before; under load the third or fourth falls between two commits.
PASSES_MAX = 8
PASS_REST_S = 0.003
# A frame of the WAL: its head and a page of SQLite's default size.
_FRAME_BYTES = 24 + 4 * KIB
# Of the WAL-index (sqlite.org/walformat.html, section 2.1), in the machine's byte order.
_FRAMES_AT, _MOVED_AT, _INDEX_HEAD_BYTES = 16, 96, 100


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
    """Moves the WAL into the database now and then, so that the writer never has to do it inside a turn.

    All of it: a WAL that is moved but for its last frames is never begun anew, and grows as long as writes go on.
    """

    def __init__(self, current: Callable[[], Path]) -> None:
        super().__init__(name="wal", daemon=True)
        self._current = current
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(WAL_LOOK_EVERY_S):
            path = self._current()
            try:
                if unmoved_bytes(path) >= WAL_BYTES_MIN:
                    _move_wal(path)
            except FileNotFoundError:
                continue  # a checkpoint was installed between the two looks

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def unmoved_bytes(path: Path) -> int:
    """How much of the WAL of a database is not in the database itself. Raises FileNotFoundError."""
    with path.with_name(path.name + "-shm").open("rb") as index:
        head = index.read(_INDEX_HEAD_BYTES)
    if len(head) < _INDEX_HEAD_BYTES:
        return 0  # being made
    frames, moved = (int.from_bytes(head[at:at + 4], sys.byteorder) for at in (_FRAMES_AT, _MOVED_AT))
    return max(0, frames - moved) * _FRAME_BYTES


def _move_wal(path: Path) -> None:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        for _ in range(PASSES_MAX):
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if unmoved_bytes(path) == 0:
                return
            time.sleep(PASS_REST_S)  # a reader's transaction may be in the way; it is short
    except sqlite3.OperationalError as error:
        log.warning("state.wal_not_moved", extra={"error": str(error)})
    finally:
        db.close()
