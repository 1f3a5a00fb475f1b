"""What a restore asks of the cluster and of each node; for `fluffy.client.rebuild`, which knows the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fluffy.base.errors import FluffyError
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.client.retry import Persistence
from fluffy.client.transport import STALL_S, Call, StallGuard
from fluffy.client.upload import new_request_id
from fluffy.client.verbs.asking import Asking
from fluffy.core.metadata.rebuild_steps import Ending, Step

# A step is some 20 ms of work, but a cluster that has just been made may have no leader for a moment.
STEP_S = 15.0
# 64 chunks of 8 MiB read from a slow disk.
CHUNKS_S = 120.0


@dataclass(frozen=True, slots=True)
class NodeDoor:
    """A member and where it answers."""

    no: NodeNo
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class ManifestsThere:
    """What lies on a node of one cluster."""

    cluster_uuid: str
    segments: tuple[str, ...]
    bytes: int
    written_ms: int


class Rebuilder(Asking):
    """Steps of a rebuild, and questions to one node about its own disk; over the connection of a client."""

    def __init__(self, client: Asking) -> None:
        self._peers, self._transport, self._state_folder = client._peers, client._transport, client._state_folder

    async def status(self) -> Mapping[str, Any]:
        return await self._read("/v1/status")

    async def node_doors(self) -> list[NodeDoor]:
        """All members."""
        document = await self._read("/v1/nodes")
        scheme = self._peers.current.partition("://")[0] or "http"
        return [NodeDoor(NodeNo(int(node["no"])), str(node["name"]), f"{scheme}://{_host(node['host'])}:{node['http']}")
                for node in document["nodes"]]

    async def rebuild_state(self) -> Mapping[str, Any] | None:
        """`id`, `source`, `next_step`; None: nothing is being rebuilt."""
        found: Mapping[str, Any] | None = (await self._read("/v1/admin/rebuild"))["rebuilding"]
        return found

    async def begin_rebuild(self, source: str) -> tuple[str, int]:
        """(id, next step)."""
        document = await self._write("POST", "/v1/admin/rebuild", document={"source": source}, answer_s=STEP_S)
        return str(document["id"]), int(document["next_step"])

    async def rebuild_step(self, rebuild_id: str, step: Step) -> int:
        """The next step."""
        call = Call("PUT", f"/v1/admin/rebuild/{rebuild_id}/steps/{step.number}", query={"table": step.table},
                    headers={"Content-Type": "application/msgpack"}, request_id=new_request_id())

        async def once(peer: str, patience: Persistence) -> int:
            async with self._transport.open(peer, call, StallGuard(STEP_S), body=step.rows) as response:
                return int((await response.json(content_type=None))["next_step"])
        return await self._transport.persist(once)

    async def end_rebuild(self, rebuild_id: str, steps: int, ending: Ending) -> None:
        await self._write("POST", f"/v1/admin/rebuild/{rebuild_id}/end", answer_s=STEP_S, document={
            "step": steps, "seq": ending.seq, "last_no": ending.last_no, "clock_ms": ending.clock_ms,
            "files": ending.files, "file_bytes": ending.file_bytes})

    async def abandon_rebuild(self, rebuild_id: str) -> None:
        await self._write("DELETE", f"/v1/admin/rebuild/{rebuild_id}", answer_s=STEP_S)

    async def chunks_on(self, door: NodeDoor, chunk_ids: Sequence[ChunkId], *, reads: bool) -> list[ChunkId]:
        """Those that lie on that node's disk; with `reads` every byte was checked."""
        call = Call("POST", "/v1/admin/chunks", document={"chunks": [one.hex() for one in chunk_ids], "read": reads})
        answer = await self._transport.ask_peer(door.url, call, answer_s=CHUNKS_S)
        return [ChunkId(bytes.fromhex(text)) for text in answer.document["good"]]

    async def manifests_on(self, door: NodeDoor) -> list[ManifestsThere]:
        """What lies on that node's disk."""
        answer = await self._transport.ask_peer(door.url, Call("GET", "/v1/admin/manifests"), answer_s=STEP_S)
        return [ManifestsThere(str(one["cluster"]), tuple(map(str, one["segments"])), int(one["bytes"]),
                               int(one["written_ms"])) for one in answer.document["stocks"]]

    async def manifest_segment(self, door: NodeDoor, cluster_uuid: str, segment: str) -> bytes:
        """One segment, as it lies there; some megabytes. Asked again when the line breaks."""
        call = Call("GET", f"/v1/admin/manifests/{quote(cluster_uuid, safe='')}/{quote(segment, safe='')}")
        trouble: FluffyError | None = None
        for _ in range(3):
            data, stall = bytearray(), StallGuard(STALL_S)
            try:
                async with self._transport.open(door.url, call, stall) as response:
                    async for block in response.content.iter_any():
                        stall.moved()
                        data += block
                return bytes(data)
            except FluffyError as error:
                trouble = error
        assert trouble is not None
        raise trouble


def _host(host: object) -> str:
    text = str(host)
    return f"[{text}]" if ":" in text else text
