"""A lock on a path, held by a client: a lease that is renewed while somebody needs it.

    async with fluffy.lock("/team/plan.txt") as lock:
        await fluffy.put("/team/plan.txt", text, lock=lock)

A client that dies stops renewing, so its locks end within their `ttl_s`. One that cannot reach the cluster for so long
has lost its lock: the block is cancelled and raises LockLost, and a write under the old token is refused by the log,
however late it arrives. Time is counted from before the request was sent, so the client never believes longer than the
cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from datetime import datetime
from types import TracebackType
from typing import Protocol

from fluffy.base.errors import FileLocked, FluffyError, LockLost, LockNotFound, NotFound
from fluffy.client.results import Document, known_time, number_in, text_in

# Renewed at a third of its time: two renewals may fail before it ends.
RENEWALS_PER_TTL = 3
# A request that waits holds a connection; the door is asked anew so often, which costs one log entry.
WAIT_SLICE_S = 15.0


class LockDoor(Protocol):
    """What a lock asks of the cluster."""

    async def take_lock(self, path: str, mode: str, ttl_s: float, wait_s: float, note: str) -> Document: ...
    async def renew_lock(self, token: str, ttl_s: float) -> Document: ...
    async def unlock(self, token: str) -> Document: ...


class Lock:
    """One lock. `await` it to take it for once; `async with` takes it, renews it, and gives it back at the end.

    `token` goes along with each write (`lock=` takes the Lock itself), `fence` grows with every lock taken: another
    service that keeps the highest one it saw can refuse a holder who has lost the lock and does not know it yet.
    """

    def __init__(self, door: LockDoor, path: str, *, mode: str, ttl_s: float, wait_s: float, note: str) -> None:
        self.path = path
        self.mode = mode
        self.ttl_s = ttl_s
        self.fence = 0
        self.expires: datetime | None = None
        self._door = door
        self._wait_s = wait_s
        self._note = note
        self._token: str | None = None
        self._until_s = 0.0
        self._group: asyncio.TaskGroup | None = None
        self._renewal: asyncio.Task[None] | None = None

    @property
    def token(self) -> str:
        """The secret that writes bring along. Raises LockLost when the lock is not held."""
        if self._token is None:
            raise LockLost(f"the lock on {self.path} is not held", path=self.path)
        return self._token

    @property
    def is_held(self) -> bool:
        """Whether the lock was taken and its time, as far as we know, has not ended."""
        return self._token is not None and time.monotonic() < self._until_s

    def __await__(self) -> Generator[object, None, Lock]:
        return self.take().__await__()

    async def take(self) -> Lock:
        """Take it, or wait for it up to `wait_s`; then raises FileLocked, which names the holder."""
        give_up_s = time.monotonic() + self._wait_s
        while True:
            left_s = max(0.0, give_up_s - time.monotonic())
            asked_s = time.monotonic()
            try:
                document = await self._door.take_lock(
                    self.path, self.mode, self.ttl_s, min(left_s, WAIT_SLICE_S), self._note)
            except FileLocked:
                if left_s <= WAIT_SLICE_S:
                    raise
                continue
            # The door may have waited before it took the lock; what it tells is then older than what we count from.
            self._token, self.fence = text_in(document, "token"), number_in(document, "fence", 0)
            self._note_times(document, asked_s)
            return self

    async def renew(self) -> None:
        """Let it last for `ttl_s` from now on. Raises LockNotFound when it has ended."""
        asked_s = time.monotonic()
        self._note_times(await self._door.renew_lock(self.token, self.ttl_s), asked_s)

    async def release(self) -> None:
        """Give it back; harmless when it has ended already."""
        token, self._token = self._token, None
        if token is None:
            return
        try:
            await self._door.unlock(token)
        except (LockNotFound, NotFound):
            return  # it has ended by itself, which is what we wanted

    async def __aenter__(self) -> Lock:
        if self._token is None:
            await self.take()
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._renewal = self._group.create_task(self.keep())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        group, renewal = self._group, self._renewal
        self._group = self._renewal = None
        assert group is not None and renewal is not None
        renewal.cancel()
        try:
            await group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as several:
            lost = several.subgroup(LockLost)
            if lost is not None and (error is None or isinstance(error, asyncio.CancelledError)):
                raise lost.exceptions[0] from None
            if error is None:
                raise
        finally:
            await self.release()

    async def keep(self) -> None:
        """Renew it again and again, until cancelled. Raises LockLost when that did not succeed in time."""
        while True:
            await asyncio.sleep(min(self.ttl_s / RENEWALS_PER_TTL, max(0.0, self._until_s - time.monotonic())))
            try:
                async with asyncio.timeout(max(0.0, self._until_s - time.monotonic())):
                    await self.renew()
            except (FluffyError, TimeoutError) as error:
                if isinstance(error, LockNotFound) or time.monotonic() >= self._until_s:
                    self._until_s = 0.0
                    raise LockLost(f"the lock on {self.path} could not be renewed and has ended",
                                   path=self.path) from error

    def _note_times(self, document: Document, asked_s: float) -> None:
        self.expires = known_time(document, "expires")
        self._until_s = asked_s + self.ttl_s


