"""Putting one chunk on its nodes: hash, place, send to all at once, and hand over when a node fails.

The decisions are `core/data/chunk_write`'s; here are the clock, the threads and the tasks. Each chunk's bytes are read
by all its senders from one place; `write` returns only when none of them touches it any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Executor

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, NotEnoughCopies, NotReady, Overloaded, PeerUnreachable, error_for
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.threads import in_thread
from fluffy.core.data.chunk_write import ChunkWrite, Finish, GiveUp, Send, WriteStep
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.placement import place
from fluffy.ports import ChunkStore, NodeClient, WrittenChunk

log = logging.getLogger(__name__)

# A node that has not acknowledged after this long gets a stand-in, if there is another node: longer than a disk's
# flush under load, shorter than a user's patience.
SLOW_AFTER_S = 4.0
# What the last copies may take longer than the quorum; what is still missing then is made by repair. Generous: a
# copy that comes late costs nothing, one that is given up is sent twice.
STRAGGLER_PATIENCE_S = 3.0
# For a node that was given up a moment ago: a hung machine must not hold up every chunk of a file anew.
LATE_PATIENCE_S = 0.3
LATE_REMEMBERED_S = 5.0
# Nodes that start together, or restart one after the other, do not open their doors at the same moment: too few of them
# are waited for this long, which is shorter than a client's patience.
MEETING_PATIENCE_S = 5.0
MEETING_AGAIN_S = 0.2
_COMES_BACK = frozenset({PeerUnreachable.code(), NotReady.code()})
# Of all uploads of this process together. Memory is bounded by the buffers; this bounds what waits for one peer.
CHUNKS_IN_FLIGHT_MAX = 16
invariant(LATE_PATIENCE_S < STRAGGLER_PATIENCE_S < SLOW_AFTER_S, "with a quorum nobody waits for stand-ins")


class ChunkWriter:
    """Implements `ports.ChunkSink`. `pool` runs hashing and the own disk; `placement` gives the committed map.

    `since`: what `queries.drops_since` says; asked before a chunk is sent. `may_wait`: whether too few nodes that
    answer are worth a wait, which they are not when a write could not be agreed on either.
    """

    def __init__(self, own_no: NodeNo, store: ChunkStore, peers: NodeClient, placement: Callable[[], PlacementMap],
                 replication: int, write_quorum: int, pool: Executor, *,
                 since: Callable[[], int] = lambda: 0, may_wait: Callable[[], bool] = lambda: False,
                 slow_after_s: float = SLOW_AFTER_S, straggler_patience_s: float = STRAGGLER_PATIENCE_S) -> None:
        invariant(0 < write_quorum <= replication, "a quorum is at least one and at most all copies")
        self._own_no = own_no
        self._store = store
        self._peers = peers
        self._placement = placement
        self._since = since
        self._may_wait = may_wait
        self._replication = replication
        self.write_quorum = write_quorum
        self._pool = pool
        self._slow_after_s = slow_after_s
        self._straggler_patience_s = straggler_patience_s
        self._slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT_MAX)
        self._late_until_s: dict[NodeNo, float] = {}  # at most one entry per node

    async def write(self, data: memoryview, deadline: Deadline) -> WrittenChunk:
        """See `ports.ChunkSink.write`."""
        try:
            async with asyncio.timeout(deadline.left_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Overloaded("too many chunks are being written") from None
        try:
            chunk_id, xxh3 = await in_thread(self._pool, _hashes, data)
            since_seq = self._since()
            return WrittenChunk(chunk_id, len(data), await self._spread(chunk_id, xxh3, data, deadline), since_seq)
        finally:
            self._slots.release()

    async def _spread(self, chunk_id: ChunkId, xxh3: bytes, data: memoryview, deadline: Deadline,
                      ) -> tuple[NodeNo, ...]:
        """The nodes that have it, of all that answer within MEETING_PATIENCE_S."""
        patience = deadline.at_most(MEETING_PATIENCE_S)
        while True:
            candidates = self._late_last(place(chunk_id, self._placement(), self.write_quorum, self._own_no))
            try:
                return await _Spread(self, chunk_id, xxh3, data, deadline).run(candidates)
            except NotEnoughCopies as error:
                codes = set(error.facts.get("failures", {}).values())
                if patience.passed or (codes and codes.isdisjoint(_COMES_BACK)) or not self._may_wait():
                    raise
            await asyncio.sleep(MEETING_AGAIN_S)

    async def store_on(self, node: NodeNo, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                       deadline: Deadline) -> None:
        """One copy on one node, own or other."""
        if node == self._own_no:
            await in_thread(self._pool, self._store.put, chunk_id, xxh3, data)
        else:
            await self._peers.put_chunk(node, chunk_id, xxh3, data, deadline)

    def patience_s(self, waited_for: Set[NodeNo]) -> float:
        """How long the last copies may take longer than the quorum: short when all of them are known to be late."""
        return LATE_PATIENCE_S if all(self._is_late(node) for node in waited_for) else self._straggler_patience_s

    def note_late(self, nodes: Set[NodeNo]) -> None:
        for node in nodes:
            self._late_until_s[node] = time.monotonic() + LATE_REMEMBERED_S

    def note_in_time(self, node: NodeNo) -> None:
        self._late_until_s.pop(node, None)

    def _is_late(self, node: NodeNo) -> bool:
        return time.monotonic() < self._late_until_s.get(node, 0.0)

    def _late_last(self, candidates: list[NodeNo]) -> list[NodeNo]:
        return sorted(candidates, key=self._is_late)

    def machine(self, candidates: Sequence[NodeNo]) -> ChunkWrite:
        return ChunkWrite(candidates, self._replication, self.write_quorum)

    @property
    def slow_after_s(self) -> float:
        return self._slow_after_s


def _hashes(data: memoryview) -> tuple[ChunkId, bytes]:
    return chunk_id_of(data), xxh3_of(data)


class _Spread:
    """One chunk on its way: runs the machine's instructions, feeds it with what happened."""

    def __init__(self, writer: ChunkWriter, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                 deadline: Deadline) -> None:
        self._writer = writer
        self._chunk_id = chunk_id
        self._xxh3 = xxh3
        self._data = data
        self._deadline = deadline
        self._ended: asyncio.Queue[tuple[NodeNo, str | None]] = asyncio.Queue()  # at most one entry per candidate
        self._slow_at_s: dict[NodeNo, float] = {}
        self._give_up_stragglers_at_s: float | None = None

    async def run(self, candidates: Sequence[NodeNo]) -> tuple[NodeNo, ...]:
        """The nodes that have it. Raises NotEnoughCopies or DiskFull."""
        machine = self._writer.machine(candidates)
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            steps = machine.start()
            while True:
                for step in steps:
                    if isinstance(step, Send):
                        self._slow_at_s[step.node] = time.monotonic() + self._writer.slow_after_s
                        tasks.append(group.create_task(self._send(step.node)))
                end = next((step for step in steps if not isinstance(step, Send)), None)
                if end is not None:
                    break
                steps = await self._next_steps(machine)
            if isinstance(end, Finish):
                self._writer.note_late(machine.working)
            for task in tasks:
                task.cancel()  # stragglers; those that ended do not mind
        return self._result(end)

    async def _send(self, node: NodeNo) -> None:
        code: str | None = None
        try:
            await self._writer.store_on(node, self._chunk_id, self._xxh3, self._data, self._deadline)
        except FluffyError as error:
            code = error.code()
            log.info("chunk.copy_failed", extra={"node_no": node, "code": code, "reason": error.message})
        self._ended.put_nowait((node, code))

    async def _next_steps(self, machine: ChunkWrite) -> list[WriteStep]:
        """Wait for the next thing to happen, or for the next moment at which patience ends."""
        try:
            async with asyncio.timeout_at(self._next_moment_s()):
                node, code = await self._ended.get()
        except TimeoutError:
            return self._after_waiting(machine)
        self._slow_at_s.pop(node, None)
        if code is None:
            self._writer.note_in_time(node)
        steps = machine.stored(node) if code is None else machine.failed(node, code)
        if machine.quorum_reached and self._give_up_stragglers_at_s is None:
            self._give_up_stragglers_at_s = time.monotonic() + self._writer.patience_s(machine.working)
        return steps

    def _next_moment_s(self) -> float:
        moments = [self._deadline.at_s, *self._slow_at_s.values()]
        if self._give_up_stragglers_at_s is not None:
            moments.append(self._give_up_stragglers_at_s)
        return min(moments)

    def _after_waiting(self, machine: ChunkWrite) -> list[WriteStep]:
        now_s = time.monotonic()
        patience_over = self._give_up_stragglers_at_s is not None and now_s >= self._give_up_stragglers_at_s
        if self._deadline.passed or patience_over:
            return machine.patience_over() or [GiveUp(NotEnoughCopies.code(), machine.failures, machine.stored_on)]
        steps: list[WriteStep] = []
        for node in [node for node, at_s in self._slow_at_s.items() if now_s >= at_s]:
            del self._slow_at_s[node]
            steps += machine.slow(node)
        return steps

    def _result(self, end: WriteStep) -> tuple[NodeNo, ...]:
        match end:
            case Finish(replicas):
                return replicas
            case GiveUp(code, failures, stored):
                raise error_for(code, None, stored=list(stored), needed=self._writer.write_quorum,
                                failures={str(node): failure for node, failure in failures.items()})
            case Send():
                invariant(False, "sending is not an end")
        raise NotEnoughCopies
