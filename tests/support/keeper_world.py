"""One node's keeper without processes: real catalog, real chunk files, a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS, MIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import PutFile
from fluffy.core.placement import place
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.json_file import JsonFile
from fluffy.services.keeper.copying import Copier
from fluffy.services.keeper.heal import Healer
from fluffy.services.keeper.inventory import Inventory
from fluffy.services.keeper.job_work import JobWork
from fluffy.services.keeper.scrub import Scrubber
from fluffy.services.keeper.worker import Worker
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.throttle import Throttle
from tests.support.local_log import BornCluster, born_cluster, genesis_command, header
from tests.support.node_stores import NodeStores, node_stores, put_bytes

START_MS = 1_700_000_000_000
BUFFER_BYTES = 1 << 20


@dataclass(slots=True)
class ManualClock:
    """Both clocks move by hand, together or (`wall_ms`) apart."""

    wall_ms: int = START_MS
    mono_s: float = 1000.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.mono_s

    def advance(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.mono_s += seconds


@dataclass(slots=True)
class KeeperWorld:
    cluster: BornCluster
    stores: NodeStores
    clock: ManualClock
    reports: ReplicaReporter
    disk: ThreadPoolExecutor

    def healer(self, own: int) -> Healer:
        return Healer(NodeNo(own), self.cluster.reader, self.stores.stores[NodeNo(own)], self.stores, self.reports,
                      lambda chunk_id, placement: place(chunk_id, placement, 1, None),
                      Throttle(self.clock, 600 * MIB, 4), self.disk, BufferPool(BUFFER_BYTES, 2))

    def job_work(self, own: int, delay_s: float = 0.0) -> JobWork:
        node = NodeNo(own)
        throttle, buffers = Throttle(self.clock, 600 * MIB, 4), BufferPool(BUFFER_BYTES, 4)
        store = self.stores.stores[node]
        copier = Copier(node, self.cluster.reader, store, self.stores, self.reports, throttle, self.disk, buffers,
                        delay_s)
        scrubber = Scrubber(node, store, self.reports, self.disk, buffers, throttle)
        return JobWork(self.cluster.reader, store, SystemClock(), self.disk, copier, scrubber)

    def worker(self, own: int, delay_s: float = 0.0) -> Worker:
        return Worker(NodeNo(own), self.cluster.log, self.cluster.reader, SystemClock(), self.job_work(own, delay_s),
                      lambda: 4)

    def inventory(self, own: int) -> Inventory:
        return Inventory(NodeNo(own), self.cluster.log, self.cluster.reader, self.stores.stores[NodeNo(own)],
                         self.reports, self.clock, self.disk, BufferPool(BUFFER_BYTES, 2),
                         JsonFile(self.cluster.node_dir / "inventory.json"), pass_rest_s=0.0)

    def commit(self, name: str, data: bytes, replicas: tuple[int, ...],
               stored: tuple[int, ...] | None = None) -> ChunkId:
        """A file of one chunk: the catalog counts `replicas`, the bytes are on `stored` (the same by default)."""
        chunk_ids = [put_bytes(self.stores.stores[NodeNo(no)], data) for no in (replicas if stored is None else stored)]
        chunk_id = chunk_ids[0]
        self.cluster.log.apply(PutFile(
            header(), f"admin/{name}", len(data), chunk_id, "e", "a/b", {}, {}, None, ((chunk_id, len(data)),),
            (tuple(NodeNo(no) for no in replicas),)))
        return chunk_id

    def replicas(self, chunk_id: ChunkId) -> tuple[int, ...]:
        found = self.cluster.reader.read(lambda db: queries.chunk_replicas(db, [chunk_id]))
        return tuple(found[chunk_id])

    def holds(self, node: int, chunk_id: ChunkId) -> bool:
        return self.stores.stores[NodeNo(node)].path_of(chunk_id).exists()


@asynccontextmanager
async def keeper_world(folder: Path, nodes: int = 3) -> AsyncIterator[KeeperWorld]:
    clock = ManualClock()
    genesis = genesis_command(nodes, at_ms=START_MS - 100 * DAY_MS)
    with born_cluster(folder, genesis) as cluster, ThreadPoolExecutor(2) as disk:
        reports = ReplicaReporter(cluster.log, clock, NodeNo(1))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(reports.run())
            yield KeeperWorld(cluster, node_stores(folder, nodes), clock, reports, disk)
            task.cancel()
