"""Making one copy of a chunk on this node: from the own disk when it is there already, else from a holder.

Whatever the source says, the bytes are compared with the chunk's name before they are stored, so no bad copy is
multiplied, and a holder that has no good copy is reported on the way. A holder that does as much background work as it
may is asked again; one that does not answer is passed over.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AllCopiesBad, ChunkCorrupt, ChunkNotFound, FluffyError, Overloaded, Unavailable
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.threads import in_thread
from fluffy.core.metadata import queries
from fluffy.core.metadata.model_jobs import ChunkLine
from fluffy.core.repair.copy_sources import copy_sources
from fluffy.ports import Buffers, ChunkStore, MetadataReader, NodeClient
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.throttle import Throttle
from fluffy.wire.chunk_messages import Urgency

log = logging.getLogger("fluffy.keeper")

# A chunk of 64 MiB over a wire of 10 MiB/s takes 7 s; a holder slower than that is no use now.
FETCH_TIMEOUT_S = 20.0
# Between two rounds over holders that were all busy.
BUSY_REST_S = 0.5


class Copier:
    """Shared by all jobs of a node. `buffers` hold any chunk; their number bounds the copies at a time.

    `delay_s`: a test's, how much longer each copy takes.
    """

    def __init__(self, own_no: NodeNo, reader: MetadataReader, store: ChunkStore, peers: NodeClient,
                 reports: ReplicaReporter, throttle: Throttle, disk: Executor, buffers: Buffers,
                 delay_s: float = 0.0) -> None:
        self._own_no = own_no
        self._reader = reader
        self._store = store
        self._peers = peers
        self._reports = reports
        self._throttle = throttle
        self._disk = disk
        self._buffers = buffers
        self._delay_s = delay_s
        self.copied = 0
        self.copied_bytes = 0

    async def copy(self, chunk: ChunkLine, stop: Deadline) -> int:
        """Returns the bytes that came over the wire (0: it was here), once the copy is durable.

        Raises DiskFull, Overloaded (nobody had time for it), AllCopiesBad, or what the last holder failed with.
        """
        with await self._buffers.acquire(stop) as buffer:
            await asyncio.sleep(self._delay_s)
            out = buffer.view[:chunk.length]
            if await in_thread(self._disk, self._is_here, chunk, out):
                return 0
            await self._fetch_from_any(chunk, out, stop)
            await in_thread(self._disk, self._store.put, chunk.chunk_id, xxh3_of(out), out)
        self.copied += 1
        self.copied_bytes += chunk.length
        return chunk.length

    async def is_here(self, chunk: ChunkLine, stop: Deadline) -> bool:
        """Whether a good copy is on this disk: read whole and compared, its time fresh. A bad one is set aside."""
        with await self._buffers.acquire(stop) as buffer:
            return await in_thread(self._disk, self._is_here, chunk, buffer.view[:chunk.length])

    def _is_here(self, chunk: ChunkLine, out: memoryview) -> bool:
        if not is_good_here(self._store, chunk.chunk_id, out):
            return False
        # What was never synced here is so now, and its time is fresh: an orphan's clock begins anew.
        self._store.put(chunk.chunk_id, xxh3_of(out), out)
        return True

    async def _fetch_from_any(self, chunk: ChunkLine, out: memoryview, stop: Deadline) -> None:
        while True:
            error = await self._one_round(chunk, out, stop)
            if error is None:
                return
            if not isinstance(error, Overloaded) or stop.left_s <= BUSY_REST_S:
                raise error
            await asyncio.sleep(BUSY_REST_S)

    async def _one_round(self, chunk: ChunkLine, out: memoryview, stop: Deadline) -> FluffyError | None:
        """Ask each holder once; None: the bytes are here. A busy holder is the best reason to come again."""
        placement = self._reader.read(queries.placement_map)
        states = {node.node_no: node.state for node in placement.nodes}
        failures: list[FluffyError] = []
        for source in copy_sources(chunk.chunk_id, chunk.replicas, self._own_no, states):
            error = await self._fetch(source, chunk, out, stop)
            if error is None:
                return None
            failures.append(error)
        busy = next((error for error in failures if isinstance(error, Overloaded)), None)
        away = next((error for error in failures if isinstance(error, Unavailable)), None)
        return busy or away or AllCopiesBad(chunk=chunk.chunk_id.hex())

    async def _fetch(self, source: NodeNo, chunk: ChunkLine, out: memoryview, stop: Deadline) -> FluffyError | None:
        endangered = len(chunk.replicas) == 1
        urgency = Urgency.ENDANGERED if endangered else Urgency.BACKGROUND
        try:
            async with self._throttle.reserve(chunk.length, stop, endangered=endangered):
                await self._peers.get_chunk(source, chunk.chunk_id, out, stop.at_most(FETCH_TIMEOUT_S),
                                            urgency=urgency)
        except (ChunkNotFound, ChunkCorrupt) as error:
            return self._bad(source, chunk.chunk_id, error)
        except Unavailable as error:
            return error
        if await in_thread(self._disk, chunk_id_of, out) != chunk.chunk_id:
            return self._bad(source, chunk.chunk_id, ChunkCorrupt(chunk=chunk.chunk_id.hex()))
        return None

    def _bad(self, source: NodeNo, chunk_id: ChunkId, error: FluffyError) -> FluffyError:
        """That node's copy is not one: the catalog should know, and its own copy be made again."""
        log.info("copy.refused", extra={"chunk": chunk_id.hex()[:16], "node_no": source, "error": error.code()})
        self._reports.lost(chunk_id, source)
        return error


def is_good_here(store: ChunkStore, chunk_id: ChunkId, out: memoryview) -> bool:
    """Whether a good copy is on this disk: of a write that was acknowledged late, or whose report was lost. Blocking.

    Its bytes are then in `out`, which is as long as the catalog says. A bad copy is set aside.
    """
    try:
        if store.length(chunk_id) != len(out):
            store.quarantine(chunk_id, "its length is not the catalog's")
            return False
        store.read(chunk_id, 0, out)
    except (ChunkNotFound, ChunkCorrupt):
        return False
    if chunk_id_of(out) != chunk_id:
        store.quarantine(chunk_id, "its bytes do not match its name")
        return False
    return True
