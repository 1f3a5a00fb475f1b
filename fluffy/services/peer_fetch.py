"""Fetching bytes of one chunk from the nodes that hold it: best first, a second one when the first is slow, the
next when one fails, until the bytes are here and checked.

The decisions are `core/data/chunk_read`'s; here are the clock and the tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AllCopiesBad, ChunkCorrupt, ChunkNotFound, FluffyError, Unavailable
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MIB
from fluffy.core.data.chunk_read import ChunkRead, Fetch, OutOfCopies, ReadStep
from fluffy.core.data.latency import Doubts, Latencies
from fluffy.ports import NodeClient
from fluffy.services.chunk_cache import ChunkCache, Memory

# One peer's try. A peer that needs longer for a chunk is taken for failed, and the next one is asked.
FETCH_S = 5.0
# Answers up to this size and above it take different times; their percentiles are kept apart.
_LARGE_BYTES = MIB


class PeerFetcher:
    """Holds what is known about the peers' speed; one per process."""

    def __init__(self, peers: NodeClient, cache: ChunkCache, report_bad: Callable[[ChunkId, NodeNo], None]) -> None:
        self._peers = peers
        self._cache = cache
        self._report_bad = report_bad
        self._small = Latencies()
        self._large = Latencies()
        self._doubts = Doubts()
        self.hedges = 0
        self.hedges_won = 0

    def latency_ms(self, size: int) -> dict[NodeNo, int]:
        return self._latencies(size).medians_ms()

    def doubtful(self) -> frozenset[NodeNo]:
        """Nodes to be asked last, because they did not answer a moment ago."""
        return self._doubts.doubtful(_now_ms())

    async def fetch(self, chunk_id: ChunkId, offset: int, size: int, candidates: Sequence[NodeNo],
                    recorded: Sequence[NodeNo], deadline: Deadline) -> Memory:
        """Checked bytes in new memory of the cache (release it). `recorded`: who should have the chunk.

        Raises AllCopiesBad, Overloaded.
        """
        first = await self._cache.new(size, deadline)
        race = _Race(self, chunk_id, offset, first, deadline)
        return await race.run(ChunkRead(candidates), frozenset(recorded))

    def new_memory(self, size: int) -> Memory | None:
        return self._cache.new_at_once(size)

    def release(self, memory: Memory) -> None:
        self._cache.release(memory)

    async def fetch_from(self, node: NodeNo, chunk_id: ChunkId, offset: int, out: memoryview,
                         deadline: Deadline) -> None:
        began_s = time.monotonic()
        try:
            await self._peers.get_chunk(node, chunk_id, out, deadline.at_most(FETCH_S), offset=offset)
            self._doubts.answered(node)
        finally:
            # Also when it was given up for a faster one: then it takes at least that long.
            self._latencies(len(out)).record(node, int((time.monotonic() - began_s) * 1000))

    def overtaken(self, node: NodeNo) -> None:
        """The node failed, or another one gave the bytes that it still owes after its usual time."""
        self._doubts.overtaken(node, _now_ms())

    def hedge_after_s(self, node: NodeNo, size: int) -> float:
        return self._latencies(size).hedge_after_ms(node) / 1000

    def report(self, chunk_id: ChunkId, node: NodeNo) -> None:
        self._report_bad(chunk_id, node)

    def _latencies(self, size: int) -> Latencies:
        return self._large if size > _LARGE_BYTES else self._small


def _now_ms() -> int:
    return int(time.monotonic() * 1000)


class _Race:
    """One fetch: usually one request, sometimes two at once, each with memory of its own."""

    def __init__(self, fetcher: PeerFetcher, chunk_id: ChunkId, offset: int, first: Memory, deadline: Deadline) -> None:
        self._fetcher = fetcher
        self._chunk_id = chunk_id
        self._offset = offset
        self._deadline = deadline
        self._size = len(first.view)
        self._free = [first]
        self._won: Memory | None = None
        self._failures: dict[NodeNo, str] = {}
        self._ended: asyncio.Queue[tuple[NodeNo, str | None]] = asyncio.Queue()  # at most one entry per candidate
        self._hedge_at_s: float | None = None
        self._hedged_with: set[NodeNo] = set()
        self._owing: set[NodeNo] = set()  # asked and not answered

    async def run(self, machine: ChunkRead, recorded: frozenset[NodeNo]) -> Memory:
        try:
            await self._run(machine, recorded)
        except BaseException:
            if self._won is not None:
                self._fetcher.release(self._won)
            raise
        finally:
            for memory in self._free:
                self._fetcher.release(memory)
        if self._won is None:
            raise AllCopiesBad(chunk=self._chunk_id.hex(),
                               failures={str(node): code for node, code in self._failures.items()})
        return self._won

    async def _run(self, machine: ChunkRead, recorded: frozenset[NodeNo]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            steps = machine.start()
            while self._won is None and not any(isinstance(step, OutOfCopies) for step in steps):
                for step in steps:
                    if isinstance(step, Fetch):
                        self._hedge_at_s = time.monotonic() + self._fetcher.hedge_after_s(step.node, self._size)
                        tasks.append(group.create_task(self._fetch(step.node, self._free.pop())))
                if self._deadline.passed:
                    break
                steps = await self._next_steps(machine, recorded)
            for task in tasks:
                task.cancel()  # the slower one of two; those that ended do not mind

    async def _fetch(self, node: NodeNo, memory: Memory) -> None:
        code: str | None = None
        self._owing.add(node)
        try:
            await self._fetcher.fetch_from(node, self._chunk_id, self._offset, memory.view, self._deadline)
            if self._won is None:
                self._won = memory
                self._note_win(node)
        except FluffyError as error:
            code = error.code()
            if isinstance(error, Unavailable):
                self._fetcher.overtaken(node)
        finally:
            self._owing.discard(node)
            if self._won is not memory:
                self._free.append(memory)
        self._ended.put_nowait((node, code))

    def _note_win(self, winner: NodeNo) -> None:
        if winner in self._hedged_with:
            self._fetcher.hedges_won += 1
            for node in self._owing - {winner} - self._hedged_with:
                self._fetcher.overtaken(node)

    async def _next_steps(self, machine: ChunkRead, recorded: frozenset[NodeNo]) -> list[ReadStep]:
        """Wait for an answer, or for the moment to hedge."""
        moment_s = self._deadline.at_s if self._hedge_at_s is None else min(self._hedge_at_s, self._deadline.at_s)
        try:
            async with asyncio.timeout_at(moment_s):
                node, code = await self._ended.get()
        except TimeoutError:
            return self._hedge(machine)
        if code is None:
            return []
        self._failures[node] = code
        if code == ChunkCorrupt.code() or (code == ChunkNotFound.code() and node in recorded):
            self._fetcher.report(self._chunk_id, node)
        return machine.failed(node, code)

    def _hedge(self, machine: ChunkRead) -> list[ReadStep]:
        self._hedge_at_s = None
        if self._deadline.passed or not machine.can_hedge:
            return []
        memory = self._fetcher.new_memory(self._size)
        if memory is None:
            return []  # no memory to spare: then the first one has to do
        self._free.append(memory)
        steps = machine.hedge_due()
        self._hedged_with |= {step.node for step in steps if isinstance(step, Fetch)}
        self._fetcher.hedges += 1
        return steps
