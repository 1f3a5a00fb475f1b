"""Making missing copies without jobs, while some member runs a program that knows none (feature level below 3).

Each round walks the catalog's list of missing chunks. For those where the placement says "you", the copy is taken from
the own disk when it is already there, else fetched from a holder, checked against its name (BLAKE3, so that no bad
copy is multiplied), stored durably and reported. Bounded in copies at a time and in bytes a second; a round in which
no holder answers costs one attempt per holder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, DiskFull, FluffyError, Overloaded
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import MissingChunk, PlacementMap
from fluffy.core.repair.heal import healers, most_endangered_first, sources
from fluffy.ports import Buffer, Buffers, ChunkStore, MetadataReader, NodeClient
from fluffy.services.condition import Condition
from fluffy.services.keeper.copying import is_good_here
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.throttle import Throttle
from fluffy.wire.chunk_messages import Urgency

log = logging.getLogger("fluffy.keeper")
R = TypeVar("R")

# From this feature level on the leader plans and workers work (planner.py, worker.py).
JOBS_LEVEL = 3
PAGE_CHUNKS = 256
# A round ends here and the next goes on behind it, so a map or a leader that changed is seen soon.
ROUND_COPIES_MAX = 1_000
SCAN_TIMEOUT_S = 10.0
# A chunk of 64 MiB over a wire of 10 MiB/s takes 7 s; a holder slower than that is no use now.
FETCH_TIMEOUT_S = 20.0
FLUSH_TIMEOUT_S = 15.0
# A slot is free at the latest when every holder of the chunk in it has been tried.
SLOT_TIMEOUT_S = 10 * FETCH_TIMEOUT_S
REACHABLE_STATES = frozenset({"up", "suspect", "draining", "joining"})

# (chunk, map) -> all eligible nodes in the chunk's placement order.
Candidates = Callable[[ChunkId, PlacementMap], Sequence[NodeNo]]


class Healer:
    """Call `one_round` every few seconds; True means that there is more to do at once."""

    def __init__(self, own_no: NodeNo, reader: MetadataReader, store: ChunkStore, peers: NodeClient,
                 reports: ReplicaReporter, candidates: Candidates, throttle: Throttle, disk: Executor,
                 buffers: Buffers) -> None:
        self._own_no = own_no
        self._reader = reader
        self._store = store
        self._peers = peers
        self._reports = reports
        self._candidates = candidates
        self._disk = disk
        self._throttle = throttle
        self._buffers = buffers
        self._after: ChunkId | None = None
        self._away: set[NodeNo] = set()
        self._disk_condition = Condition("room for repaired copies")
        self.copied = 0
        self.copied_bytes = 0

    async def one_round(self) -> bool:
        state = self._reader.read(queries.cluster_state)
        if state is None or state.feature_level >= JOBS_LEVEL:
            return False
        placement = self._reader.read(queries.placement_map)
        self._away.clear()
        made = self.copied
        looked = 0
        while looked < ROUND_COPIES_MAX:
            page = await self._next_page()
            if not page:
                break
            looked += len(page)
            await self._copy_all([chunk for chunk in most_endangered_first(page) if self._is_ours(chunk, placement)],
                                 placement)
        await self._reports.flush(Deadline.after(FLUSH_TIMEOUT_S))
        made = self.copied - made
        if made:
            log.info("copies.made", extra={"copies": made, "bytes_total": self.copied_bytes})
        return made > 0 and self._after is not None

    async def _next_page(self) -> tuple[MissingChunk, ...]:
        after = self._after
        page = await self._reader.read_in_thread(
            lambda db: queries.missing_chunks(db, after, PAGE_CHUNKS), Deadline.after(SCAN_TIMEOUT_S))
        self._after = page[-1].chunk_id if page else None
        return page

    def _is_ours(self, chunk: MissingChunk, placement: PlacementMap) -> bool:
        """Ours by placement; or nobody holds it any more, and our disk may still."""
        invariant(chunk.length <= self._buffers.buffer_bytes, "a chunk fits a buffer: the catalog bounds its length")
        if self._own_no in chunk.replicas:
            return False
        return not chunk.replicas or self._own_no in healers(chunk, self._candidates(chunk.chunk_id, placement))

    async def _copy_all(self, chunks: Sequence[MissingChunk], placement: PlacementMap) -> None:
        reachable = {node.node_no for node in placement.nodes if node.state in REACHABLE_STATES}
        async with asyncio.TaskGroup() as group:
            for chunk in chunks:
                # The buffers are the slots: as many copies run at a time as there are buffers.
                buffer = await self._buffers.acquire(Deadline.after(SLOT_TIMEOUT_S))
                group.create_task(self._copy(chunk, frozenset(reachable - self._away), buffer))

    async def _copy(self, chunk: MissingChunk, alive: frozenset[NodeNo], buffer: Buffer) -> None:
        """Take or fetch one chunk. Failures leave it missing: the next round tries again."""
        with buffer:
            out = buffer.view[:chunk.length]
            if (await self._in_disk_thread(is_good_here, self._store, chunk.chunk_id, out)
                    or await self._fetch(chunk, alive, out)):
                self._reports.gained(chunk.chunk_id, self._own_no)
                self.copied += 1
                self.copied_bytes += chunk.length

    async def _fetch(self, chunk: MissingChunk, alive: frozenset[NodeNo], out: memoryview) -> bool:
        for source in sources(chunk, self._own_no, alive):
            if source in self._away:
                continue
            endangered = len(chunk.replicas) == 1
            try:
                async with self._throttle.reserve(chunk.length, Deadline.after(SLOT_TIMEOUT_S), endangered=endangered):
                    fetched = await self._fetch_from(source, chunk, out)
            except Overloaded:
                return False  # the next round tries again
            if not fetched:
                continue
            try:
                await self._in_disk_thread(self._store_copy, chunk, out)
            except DiskFull as error:
                self._disk_condition.blocked(error)
                return False
            self._disk_condition.fine()
            return True
        return False

    async def _fetch_from(self, source: NodeNo, chunk: MissingChunk, out: memoryview) -> bool:
        try:
            await self._peers.get_chunk(
                source, chunk.chunk_id, out, Deadline.after(FETCH_TIMEOUT_S),
                urgency=Urgency.ENDANGERED if len(chunk.replicas) == 1 else Urgency.BACKGROUND)
        except (ChunkNotFound, ChunkCorrupt):
            # That node's copy is not one: the catalog should know, and its own copy be made again.
            self._reports.lost(chunk.chunk_id, source)
            return False
        except (FluffyError, OSError, TimeoutError):
            self._away.add(source)
            return False
        if await self._in_disk_thread(chunk_id_of, out) != chunk.chunk_id:
            log.info("copy.refused", extra={"chunk": chunk.chunk_id.hex()[:16], "node_no": source})
            self._reports.lost(chunk.chunk_id, source)
            return False
        return True

    def _store_copy(self, chunk: MissingChunk, data: memoryview) -> None:
        self._store.put(chunk.chunk_id, xxh3_of(data), data)

    async def _in_disk_thread(self, call: Callable[..., R], *args: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *args)
