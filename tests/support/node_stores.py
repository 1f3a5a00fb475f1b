"""Several nodes' chunk folders here, and the data port between them without a wire: real files, failures by switch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkNotFound, PeerUnreachable
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.wire.chunk_messages import Urgency


@dataclass(slots=True)
class NodeStores:
    """Implements `ports.NodeClient`. `away`: nodes that do not answer; `lying`: nodes that send other bytes."""

    stores: dict[NodeNo, ChunkFiles]
    away: set[NodeNo] = field(default_factory=set)
    lying: set[NodeNo] = field(default_factory=set)
    free_bytes: dict[NodeNo, int] = field(default_factory=dict)
    levels: dict[NodeNo, int] = field(default_factory=dict)
    asked: list[NodeNo] = field(default_factory=list)

    def _store(self, node: NodeNo) -> ChunkFiles:
        self.asked.append(node)
        if node in self.away:
            raise PeerUnreachable(node_no=node)
        return self.stores[node]

    async def put_chunk(self, node: NodeNo, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                        deadline: Deadline) -> None:
        self._store(node).put(chunk_id, xxh3, data)

    async def get_chunk(self, node: NodeNo, chunk_id: ChunkId, out: memoryview, deadline: Deadline, *,
                        offset: int = 0, urgency: Urgency = Urgency.USER) -> bytes:
        self._store(node).read(chunk_id, offset, out)
        if node in self.lying:
            out[0] ^= 1
        return xxh3_of(out)

    async def has_chunk(self, node: NodeNo, chunk_id: ChunkId, deadline: Deadline) -> bool:
        try:
            self._store(node).length(chunk_id)
        except ChunkNotFound:
            return False
        return True

    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        self._store(node)
        return {"free_bytes": self.free_bytes.get(node, 50 << 30), "level": self.levels.get(node, FEATURE_LEVEL)}

    async def about(self, node: NodeNo, deadline: Deadline) -> dict[str, int | str]:
        self._store(node)
        return {}


def node_stores(folder: Path, nodes: int) -> NodeStores:
    return NodeStores({NodeNo(no): ChunkFiles(folder / f"node{no}", fsync=False) for no in range(1, nodes + 1)})


def put_bytes(store: ChunkFiles, data: bytes) -> ChunkId:
    chunk_id = chunk_id_of(data)
    store.put(chunk_id, xxh3_of(data), memoryview(data))
    return chunk_id
