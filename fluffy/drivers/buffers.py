"""Memory for chunks on their way: few, large, page-aligned, used again and again.

Getting fresh memory and touching it for the first time costs more than hashing it (a page fault each 4 KiB), and
O_DIRECT needs alignment; so chunks travel in buffers that are mapped once. Their number is the bound: whoever wants to
hold one more chunk waits until another one is done. That wait is the backpressure of the whole data path.

Pools must not be shared between work that waits for other machines and work that other machines wait for: two nodes
whose uploads hold every buffer would otherwise wait for each other's receivers.
"""

from __future__ import annotations

import asyncio
import mmap
import threading
from collections import deque
from concurrent.futures import Future
from types import TracebackType

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded


class PooledBuffer:
    """One buffer, held until `release` (or the end of its `with`). Views of it must not be used afterwards."""

    __slots__ = ("_pool", "_released", "view")

    def __init__(self, pool: BufferPool, view: memoryview) -> None:
        self.view = view
        self._pool = pool
        self._released = False

    def release(self) -> None:
        """Give the memory back. The second call does nothing, so that every path may say it."""
        if not self._released:
            self._released = True
            self._pool._give_back(self.view)

    def __enter__(self) -> PooledBuffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.release()


class BufferPool:
    """At most `buffers_max` page-aligned buffers of `buffer_bytes` each; made when first needed, kept for ever.

    Usable from the event loop (`acquire`) and from threads (`acquire_blocking`) at once. Waiters are served in the
    order in which they came. The last buffer given back is the first used again, so what is never needed at once is
    never touched.
    """

    def __init__(self, buffer_bytes: int, buffers_max: int) -> None:
        invariant(buffer_bytes > 0 and buffers_max > 0, "a pool holds at least one byte")
        self.buffer_bytes = buffer_bytes
        self.buffers_max = buffers_max
        self._lock = threading.Lock()
        self._free: list[memoryview] = []
        self._made = 0
        self._waiters: deque[Future[memoryview]] = deque()

    @property
    def free_buffers(self) -> int:
        """How many could be had at once; a gauge, already stale when read."""
        with self._lock:
            return len(self._free) + self.buffers_max - self._made

    def try_acquire(self) -> PooledBuffer | None:
        """A buffer when one is free and nobody waits for it."""
        with self._lock:
            view = None if self._waiters else self._take_free()
        return None if view is None else PooledBuffer(self, view)

    async def acquire(self, deadline: Deadline) -> PooledBuffer:
        """Wait for a buffer; Overloaded when the deadline passes first. Cancelling it loses nothing."""
        granted = self._enqueue()
        if granted.done():
            return PooledBuffer(self, granted.result())
        try:
            async with asyncio.timeout(deadline.left_s):
                view = await asyncio.wrap_future(granted)
        except TimeoutError:
            self._abandon(granted)
            raise Overloaded("no memory was free for this chunk in time") from None
        except asyncio.CancelledError:
            self._abandon(granted)
            raise
        return PooledBuffer(self, view)

    def acquire_blocking(self, deadline: Deadline) -> PooledBuffer:
        """The same for threads."""
        granted = self._enqueue()
        try:
            return PooledBuffer(self, granted.result(timeout=deadline.left_s))
        except TimeoutError:
            self._abandon(granted)
            raise Overloaded("no memory was free for this chunk in time") from None

    def _enqueue(self) -> Future[memoryview]:
        granted: Future[memoryview] = Future()
        with self._lock:
            view = None if self._waiters else self._take_free()
            if view is None:
                self._waiters.append(granted)
            else:
                granted.set_result(view)
        return granted

    def _take_free(self) -> memoryview | None:
        if self._free:
            return self._free.pop()
        if self._made < self.buffers_max:
            self._made += 1
            return memoryview(mmap.mmap(-1, self.buffer_bytes))
        return None

    def _abandon(self, granted: Future[memoryview]) -> None:
        """The waiter left; when its buffer was already on the way, pass it on."""
        if granted.cancel():
            with self._lock:
                if granted in self._waiters:
                    self._waiters.remove(granted)
        else:
            self._give_back(granted.result())

    def _give_back(self, view: memoryview) -> None:
        while True:
            with self._lock:
                if not self._waiters:
                    self._free.append(view)
                    return
                waiter = self._waiters.popleft()
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(view)
                return
