"""Taking a lock, with waiting: the log decides, this only asks again when it is worth it.

    try -> refused: look who is in the way -> wait until the state changes or that lock's end -> try again …

Those who wait are not queued: whoever asks first after a release gets it. Between attempts nothing is in the log, so a
waiter that dies leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FileLocked, NotReady
from fluffy.base.ids import REQUEST_ID_BYTES, NodeNo, RequestId, UserNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_people import AcquireLock
from fluffy.core.metadata.outcomes import Accepted
from fluffy.ports import Clock, MetadataLog, MetadataReader

# A busy cluster changes all the time; a waiter looks at most so often, which costs 50 us.
LOOK_PAUSE_S = 0.05
# However long nothing seems to change: somebody's clock may be ahead of ours.
LOOK_EVERY_S = 1.0
# One attempt's own time in the log, so that a waiter notices a lost majority.
PROPOSE_TIMEOUT_S = 2.5


class Locks:
    """Locks for the doors of one process."""

    def __init__(self, log: MetadataLog, reader: MetadataReader, clock: Clock, node_no: NodeNo) -> None:
        self._log = log
        self._reader = reader
        self._clock = clock
        self._node_no = node_no

    async def acquire(self, path: RemotePath, mode: str, *, ttl_ms: int, lock_hash: bytes, user_no: UserNo,
                      request_id: RequestId, wait: Deadline, note: str = "",
                      has_left: Callable[[], bool] = lambda: False) -> Accepted:
        """Take the lock, or try until `wait` has passed; then raises FileLocked, which names the holder.

        `has_left`: whether the asker has gone; a lock that nobody knows about must not be taken. A repeated request
        (the same `request_id`) goes through the same attempts and gets the first one's lock. facts: expires_ms, fence.
        Raises what the log raises, too.
        """
        attempt = 0
        while True:
            header = Header(_attempt_id(request_id, attempt), self._clock.now_ms(), self._node_no, user_no)
            command = AcquireLock(header, path.text, mode, ttl_ms, lock_hash, note)
            try:
                return await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
            except FileLocked:
                if wait.passed:
                    raise
                await self._wait_until_free(path, mode, lock_hash, wait, has_left)
                if has_left():
                    raise
            attempt += 1

    async def _wait_until_free(self, path: RemotePath, mode: str, lock_hash: bytes, wait: Deadline,
                               has_left: Callable[[], bool]) -> None:
        """Return when nobody seems to be in the way any more, or nobody waits any more."""
        while not (wait.passed or has_left()):
            seq, ends_ms = self._reader.read(lambda db: _look(db, path, mode, lock_hash, self._clock.now_ms()))
            if ends_ms is None:
                return
            until_end_s = max(0.0, (ends_ms - self._clock.now_ms()) / 1000)
            pause = wait.at_most(min(LOOK_EVERY_S, until_end_s + 0.001))
            await asyncio.sleep(min(LOOK_PAUSE_S, pause.left_s))
            try:
                await self._log.wait_seq(seq + 1, pause)
            except (NotReady, DeadlineExceeded):
                continue  # nothing happened: time itself may have


def _look(db: sqlite3.Connection, path: RemotePath, mode: str, lock_hash: bytes, now_ms: int,
          ) -> tuple[int, int | None]:
    """(the state's seq, when the lock in the way ends by itself; None: nothing is in the way).

    One's own lock, taken when this request came for the first time, is not in the way.
    """
    state = queries.cluster_state(db)
    if queries.lock_by_hash(db, lock_hash, now_ms) is not None:
        return 0, None
    lock = queries.lock_in_the_way(db, path, mode, now_ms)
    return (0 if state is None else state.seq), (None if lock is None else lock.expires_ms)


def _attempt_id(request_id: RequestId, attempt: int) -> RequestId:
    """Each attempt is a request of its own: the log would answer a repeated one with its first refusal for ever."""
    return RequestId(blake3(b"lock attempt %d\x00" % attempt + request_id).digest(REQUEST_ID_BYTES))
