"""Other nodes as a `NodeClient` whose every answer a test decides: at once, late, never, or an error."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkNotFound, FluffyError
from fluffy.base.hashing import xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.wire.chunk_messages import Urgency


@dataclass
class Behaviour:
    """What a node does next. `gate` not set: it answers once the test sets it."""

    error: FluffyError | None = None
    gate: asyncio.Event | None = None
    delay_s: float = 0.0


@dataclass
class ScriptedPeers:
    """Implements `ports.NodeClient`; verifies like the real one, and counts who was asked for what."""

    chunks: dict[NodeNo, dict[ChunkId, bytes]] = field(default_factory=dict)
    behaviours: dict[NodeNo, Behaviour] = field(default_factory=dict)
    puts: list[NodeNo] = field(default_factory=list)
    gets: list[tuple[NodeNo, int, int]] = field(default_factory=list)
    in_work: Counter[NodeNo] = field(default_factory=Counter)
    cancelled: list[NodeNo] = field(default_factory=list)

    async def put_chunk(self, node: NodeNo, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                        deadline: Deadline) -> None:
        self.puts.append(node)
        await self._behave(node)
        assert xxh3_of(data) == xxh3
        self.chunks.setdefault(node, {})[chunk_id] = bytes(data)

    async def get_chunk(self, node: NodeNo, chunk_id: ChunkId, out: memoryview, deadline: Deadline, *,
                        offset: int = 0, urgency: Urgency = Urgency.USER) -> bytes:
        self.gets.append((node, offset, len(out)))
        await self._behave(node)
        data = self.chunks.get(node, {}).get(chunk_id)
        if data is None:
            raise ChunkNotFound
        out[:] = data[offset:offset + len(out)]
        return xxh3_of(out)

    async def has_chunk(self, node: NodeNo, chunk_id: ChunkId, deadline: Deadline) -> bool:
        return chunk_id in self.chunks.get(node, {})

    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        return {"free_bytes": 1 << 40, "level": 2}

    async def about(self, node: NodeNo, deadline: Deadline) -> dict[str, int | str]:
        return {}

    async def _behave(self, node: NodeNo) -> None:
        behaviour = self.behaviours.get(node, Behaviour())
        self.in_work[node] += 1
        try:
            await asyncio.sleep(behaviour.delay_s)
            if behaviour.gate is not None:
                await behaviour.gate.wait()
            if behaviour.error is not None:
                raise behaviour.error
        except asyncio.CancelledError:
            self.cancelled.append(node)
            raise
        finally:
            self.in_work[node] -= 1
