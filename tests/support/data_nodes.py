"""Several nodes' chunk stores and data ports in one process, over real loopback sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MIB
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.drivers.data_port.server import DataPortServer
from fluffy.ports import ChunkStore
from fluffy.services.throttle import Throttle
from fluffy.wire.handshake import PeerIdentity

SECRET = b"s" * 32
CHUNK_SIZE = 2 * 1024 * 1024


def identity(name: str, cluster: str = "cluster") -> PeerIdentity:
    return PeerIdentity(name, f"disk of {name}", cluster)


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def put_bytes(store: ChunkStore, data: bytes) -> ChunkId:
    chunk_id = chunk_id_of(data)
    store.put(chunk_id, xxh3_of(data), memoryview(data))
    return chunk_id


@dataclass
class DataNode:
    no: NodeNo
    store: ChunkFiles
    buffers: BufferPool
    server: DataPortServer


@dataclass
class DataNodes:
    """Nodes 1 … n, each serving its folder; `client` asks them (as node 0 would)."""

    nodes: dict[NodeNo, DataNode]
    client: DataPortClient
    threads: Executor
    stack: AsyncExitStack

    def placement(self, **states: str) -> PlacementMap:
        return PlacementMap(1, tuple(NodeState(no, states.get(f"node{no}", "up"), "", 1) for no in self.nodes))


async def _about() -> dict[str, int | str]:
    return {"version": "test", "level": 3}


@asynccontextmanager
async def data_nodes(folder: Path, count: int, buffers: int = 4,
                     background_slots: int = 2) -> AsyncIterator[DataNodes]:
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        nodes = {}
        for no in (NodeNo(number) for number in range(1, count + 1)):
            store = ChunkFiles(folder / f"node{no}", fsync=False)
            stack.callback(store.close)
            pool = BufferPool(CHUNK_SIZE, buffers)
            server = await stack.enter_async_context(DataPortServer(
                store, "127.0.0.1", 0, SECRET, identity(f"node{no}"), buffers=pool, threads=threads, about=_about,
                background=Throttle(SystemClock(), 600 * MIB, background_slots)))
            nodes[no] = DataNode(no, store, pool, server)
        client = DataPortClient(lambda no: ("127.0.0.1", nodes[no].server.port), SECRET, identity("asker"),
                                names=lambda no: f"node{no}")
        stack.push_async_callback(client.close)
        yield DataNodes(nodes, client, threads, stack)


# --- what tests of the data port do all the time

SOON = 10.0


def node(nodes: DataNodes) -> DataNode:
    return nodes.nodes[NodeNo(1)]


async def put(nodes: DataNodes, data: bytes) -> ChunkId:
    chunk_id = chunk_id_of(data)
    await nodes.client.put_chunk(NodeNo(1), chunk_id, xxh3_of(data), memoryview(bytearray(data)), Deadline.after(SOON))
    return chunk_id


async def get(nodes: DataNodes, chunk_id: ChunkId, size: int, offset: int = 0) -> bytes:
    out = bytearray(size)
    xxh3 = await nodes.client.get_chunk(NodeNo(1), chunk_id, memoryview(out), Deadline.after(SOON), offset=offset)
    assert xxh3 == xxh3_of(out)
    return bytes(out)


async def everything_is_released(nodes: DataNodes) -> bool:
    """Every buffer is back and no task is left, within a moment."""
    return await within(5, lambda: node(nodes).buffers.free_buffers == node(nodes).buffers.buffers_max
                        and not any(connection.tasks for connection in node(nodes).server._known))


async def within(seconds: float, holds: Callable[[], bool]) -> bool:
    for _ in range(int(seconds / 0.01)):
        if holds():
            return True
        await asyncio.sleep(0.01)
    return holds()
