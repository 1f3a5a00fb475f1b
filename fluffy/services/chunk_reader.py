"""Getting verified bytes of a chunk from the nearest good copy: own disk, then memory, then the other nodes.

Readers of one moment who want the same remote bytes share one fetch. A bad or missing copy is reported on the way and
never stops the reader while there is another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import AllCopiesBad, ChunkCorrupt, ChunkNotFound, DeadlineExceeded, DiskFailed
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.threads import in_thread
from fluffy.base.units import KIB
from fluffy.core.data.chunk_read import read_order
from fluffy.core.metadata.model import PlacementMap
from fluffy.ports import ChunkLease, ChunkStore, NodeClient
from fluffy.services.chunk_cache import SMALL_BYTES_MAX, ChunkCache, Memory
from fluffy.services.chunk_leases import FileLease, MemoryLease
from fluffy.services.peer_fetch import PeerFetcher

# Parts are fetched and kept in whole multiples of what a chunk's record can check.
PART_BYTES = 256 * KIB
invariant(2 * PART_BYTES <= SMALL_BYTES_MAX, "a range of a part's size, wherever it lies, needs no pooled buffer")


class ChunkReader:
    """Implements `ports.ChunkSource`. `pool` runs the own disk; `report_bad(chunk, node)` must not block."""

    def __init__(self, own_no: NodeNo, store: ChunkStore, peers: NodeClient, placement: Callable[[], PlacementMap],
                 cache: ChunkCache, report_bad: Callable[[ChunkId, NodeNo], None], pool: Executor) -> None:
        self._own_no = own_no
        self._store = store
        self._placement = placement
        self._cache = cache
        self._report_bad = report_bad
        self._pool = pool
        self.fetcher = PeerFetcher(peers, cache, report_bad)
        self._flights: dict[_Part, _Flight] = {}

    async def open(self, chunk_id: ChunkId, length: int, replicas: tuple[NodeNo, ...], deadline: Deadline, *,
                   offset: int = 0, want: int | None = None, in_memory: bool = False,
                   ) -> AbstractContextManager[ChunkLease]:
        """See `ports.ChunkSource.open`."""
        size = length - offset if want is None else want
        invariant(offset >= 0 and 0 < size <= length - offset, "a reader asks for bytes of the chunk")
        expected = self._own_no in replicas
        if expected or not replicas:
            own = await self._open_own(chunk_id, offset, size, expected, in_memory, deadline)
            if own is not None:
                return own
        try:
            return await self._open_remote(chunk_id, length, replicas, offset, size, deadline)
        except AllCopiesBad:
            # Perhaps a repair brought a copy here a moment ago.
            own = None if expected else await self._open_own(chunk_id, offset, size, False, in_memory, deadline)
            if own is None:
                raise
            return own

    # --- own disk

    async def _open_own(self, chunk_id: ChunkId, offset: int, size: int, expected: bool, in_memory: bool,
                        deadline: Deadline) -> AbstractContextManager[ChunkLease] | None:
        """None when there is no good copy here; a bad one is in quarantine and reported then."""
        try:
            if in_memory or size <= PART_BYTES:
                return await self._read_own(chunk_id, offset, size, deadline)
            return FileLease(await in_thread(self._pool, self._store.open_verified, chunk_id, offset, size))
        except ChunkNotFound:
            if expected:
                self._report_bad(chunk_id, self._own_no)
        except ChunkCorrupt:
            self._report_bad(chunk_id, self._own_no)
        except DiskFailed:
            return None  # says nothing about the copy; the other nodes have theirs
        return None

    async def _read_own(self, chunk_id: ChunkId, offset: int, size: int, deadline: Deadline) -> MemoryLease:
        memory = await self._cache.new(size, deadline)
        try:
            await in_thread(self._pool, self._store.read, chunk_id, offset, memory.view)
        except BaseException:
            self._cache.release(memory)
            raise
        return MemoryLease(memory.view, partial(self._cache.release, memory))

    # --- other nodes

    async def _open_remote(self, chunk_id: ChunkId, length: int, replicas: tuple[NodeNo, ...], offset: int, size: int,
                           deadline: Deadline) -> MemoryLease:
        whole = _Part(chunk_id, 0, length)
        part = whole if whole in self._flights or whole in self._cache else _part_around(chunk_id, length, offset, size)
        memory = await self._shared(part, replicas, deadline)
        begin = offset - part.start
        return MemoryLease(memory.view[begin:begin + size], partial(self._cache.release, memory))

    async def _shared(self, part: _Part, replicas: tuple[NodeNo, ...], deadline: Deadline) -> Memory:
        """The part's memory, used once more for the caller: kept, or on its way, or fetched now."""
        while not deadline.passed:
            memory = self._cache.take(part)
            if memory is not None:
                return memory
            flight = self._flights.get(part)
            if flight is None:
                return await self._lead(part, replicas, deadline)
            landed = await flight.follow(deadline, self._cache.release)
            if isinstance(landed, AllCopiesBad):
                raise AllCopiesBad(**landed.facts)
            if landed is not None:
                return landed
        raise DeadlineExceeded("a chunk did not come in time", chunk=part.chunk_id.hex())

    async def _lead(self, part: _Part, replicas: tuple[NodeNo, ...], deadline: Deadline) -> Memory:
        """Fetch for everybody who asks meanwhile. When this reader leaves early, one of the others starts again."""
        flight = self._flights[part] = _Flight()
        landed: Memory | AllCopiesBad | None = None
        try:
            size = part.end - part.start
            candidates = read_order(part.chunk_id, replicas, self._placement(), self._own_no,
                                    self.fetcher.latency_ms(size), self.fetcher.doubtful())
            landed = await self.fetcher.fetch(part.chunk_id, part.start, size, candidates, replicas, deadline)
            self._cache.keep(part, landed)
            return landed
        except AllCopiesBad as error:
            landed = None if deadline.passed else error
            raise
        finally:
            del self._flights[part]
            flight.land(landed)


@dataclass(frozen=True, slots=True)
class _Part:
    """Bytes `start` to `end` of a chunk: the name under which memory is shared and kept."""

    chunk_id: ChunkId
    start: int
    end: int


class _Flight:
    """One fetch and those who wait for it."""

    def __init__(self) -> None:
        self._landed: asyncio.Future[Memory | AllCopiesBad | None] = asyncio.get_running_loop().create_future()
        self._followers = 0

    async def follow(self, deadline: Deadline, release: Callable[[Memory], None]) -> Memory | AllCopiesBad | None:
        """What the leader got; memory is counted as used by this follower. None: it got nothing, or time is up."""
        self._followers += 1
        try:
            await asyncio.wait([self._landed], timeout=deadline.left_s)
        except asyncio.CancelledError:
            if self._landed.done():
                landed = self._landed.result()
                if isinstance(landed, Memory):
                    release(landed)
            raise
        finally:
            self._followers -= 1
        return self._landed.result() if self._landed.done() else None

    def land(self, landed: Memory | AllCopiesBad | None) -> None:
        if isinstance(landed, Memory):
            landed.users += self._followers
        self._landed.set_result(landed)


def _part_around(chunk_id: ChunkId, length: int, offset: int, size: int) -> _Part:
    """The checkable blocks around a small range; for a large one the whole chunk, since its rest is wanted next."""
    start = offset // PART_BYTES * PART_BYTES
    end = min(length, -(-(offset + size) // PART_BYTES) * PART_BYTES)
    return _Part(chunk_id, start, end) if end - start <= SMALL_BYTES_MAX else _Part(chunk_id, 0, length)
