"""Memory of chunks that came from other nodes: kept while there is room, given up least recently used first.

Chunks on the own disk are not kept here: the page cache has them, and sendfile takes them from there. What is kept
here is immutable and was checked when it came, so nothing ever has to be invalidated.

All memory of a process's reads comes from here, and that is its bound: parts up to 512 KiB in memory of their own (a
bounded number of them at once), larger ones in pooled buffers. What readers hold cannot be given up; whoever finds
everything held waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

import cachetools

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded
from fluffy.base.units import KIB
from fluffy.ports import Buffer, Buffers
from fluffy.wire.metric_samples import Samples

# Two blocks of a chunk's record: a small range needs one or two of them.
SMALL_BYTES_MAX = 512 * KIB
# Being filled or first sent at once: 64 MiB at most, usually far less.
SMALL_IN_WORK_MAX = 128


@dataclass(slots=True, eq=False)
class Memory:
    """`view` has exactly the wanted size. `key`: under which name it is to be kept; None for not at all."""

    view: memoryview
    buffer: Buffer | None
    charge: int
    users: int = 1
    key: Hashable | None = None
    has_slot: bool = False


class _IdleMemory(cachetools.LRUCache[Hashable, Memory]):
    """What nobody uses at the moment; what has to go gives its buffer back."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max, getsizeof=lambda memory: memory.charge)

    def popitem(self) -> tuple[Hashable, Memory]:
        key, memory = super().popitem()
        _give_back(memory)
        return key, memory


class ChunkCache:
    """At most `bytes_max` of idle chunks, kept in buffers of `buffers`, which must be this cache's own pool."""

    def __init__(self, buffers: Buffers, bytes_max: int) -> None:
        self._buffers = buffers
        self._idle = _IdleMemory(bytes_max)
        self._in_use: dict[Hashable, Memory] = {}
        self._small = asyncio.Semaphore(SMALL_IN_WORK_MAX)
        self._waiting = 0
        self.hits = 0
        self.misses = 0

    @property
    def idle_bytes(self) -> int:
        return int(self._idle.currsize)

    def tell(self, samples: Samples) -> None:
        samples.add("fluffy_cache_hits_total", self.hits)
        samples.add("fluffy_cache_misses_total", self.misses)
        samples.add("fluffy_cache_bytes", self.idle_bytes)
        samples.add("fluffy_cache_limit_bytes", int(self._idle.maxsize))

    def __contains__(self, key: Hashable) -> bool:
        return key in self._in_use or key in self._idle

    def take(self, key: Hashable) -> Memory | None:
        """The kept bytes, used once more: `release` them."""
        memory = self._in_use.get(key)
        if memory is None:
            memory = self._idle.pop(key, None)
        if memory is None:
            self.misses += 1
            return None
        self.hits += 1
        memory.users += 1
        self._in_use[key] = memory
        return memory

    async def new(self, size: int, deadline: Deadline) -> Memory:
        """Memory to fill: `release` it. Overloaded when readers hold everything until the deadline."""
        if size <= SMALL_BYTES_MAX:
            return await self._new_small(size, deadline)
        memory = self.new_at_once(size)
        if memory is not None:
            return memory
        self._waiting += 1
        try:
            return self._pooled(await self._buffers.acquire(deadline), size)
        finally:
            self._waiting -= 1

    def new_at_once(self, size: int) -> Memory | None:
        """For the second of two attempts at one thing, without waiting: free memory, or what was used longest ago.

        Small ones are not counted: their number is at most that of the first attempts.
        """
        if size <= SMALL_BYTES_MAX:
            return Memory(memoryview(bytearray(size)), None, size)
        invariant(size <= self._buffers.buffer_bytes, "a chunk fits a buffer")
        buffer = self._buffers.try_acquire()
        while buffer is None and self._idle.currsize:
            self._idle.popitem()
            buffer = self._buffers.try_acquire()
        return None if buffer is None else self._pooled(buffer, size)

    def keep(self, key: Hashable, memory: Memory) -> None:
        """Remember under `key` what `memory` (in use) holds now."""
        if key not in self._in_use and key not in self._idle:
            memory.key = key
            self._in_use[key] = memory

    def release(self, memory: Memory) -> None:
        """One user less: once for each `take` and `new`."""
        memory.users -= 1
        invariant(memory.users >= 0, "memory is released once per use")
        if memory.users:
            return
        if memory.has_slot:
            memory.has_slot = False
            self._small.release()
        if memory.key is None:
            _give_back(memory)
            return
        del self._in_use[memory.key]
        somebody_waits = self._waiting > 0 and memory.buffer is not None
        if somebody_waits or memory.charge > self._idle.maxsize:
            _give_back(memory)
        else:
            self._idle[memory.key] = memory

    async def _new_small(self, size: int, deadline: Deadline) -> Memory:
        try:
            async with asyncio.timeout(deadline.left_s):
                await self._small.acquire()
        except TimeoutError:
            raise Overloaded("too many parts of files are being read") from None
        return Memory(memoryview(bytearray(size)), None, size, has_slot=True)

    def _pooled(self, buffer: Buffer, size: int) -> Memory:
        return Memory(buffer.view[:size], buffer, self._buffers.buffer_bytes)


def _give_back(memory: Memory) -> None:
    if memory.buffer is not None:
        memory.buffer.release()
        memory.buffer = None
