"""The keepers over HTTP: how fast repair may be, and what each node has set aside."""

from __future__ import annotations

import asyncio

from fluffy.base.errors import QuerySyntax
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId
from fluffy.core.metadata.commands_keeper import SetRepairMode
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import read_json
from fluffy.wire.conditions import rfc3339


async def set_repair(desk: Desk, call: Call) -> Answer:
    """PUT /v1/admin/repair"""
    fields = await read_json(call, "mode")
    if not fields.has("mode"):
        raise QuerySyntax("say which mode: quiet, balanced, fast, or null for what config.yaml says")
    mode = fields.text_or_none("mode")
    await desk.propose(SetRepairMode(desk.header(call), mode or ""))
    return json_answer({"mode": mode})


async def list_quarantine(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/quarantine: of the node that answers."""
    found = await asyncio.to_thread(desk.data_path().quarantine.list)
    return json_answer({"node": desk.node, "quarantine": [
        {"chunk": one.chunk_id, "reason": one.reason, "at": rfc3339(one.at_ms), "bytes": one.bytes}
        for one in found]})


async def purge_quarantine(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/admin/quarantine: of the node that answers."""
    chunk = call.query.get("chunk")
    purged = await asyncio.to_thread(desk.data_path().quarantine.purge, None if chunk is None else _chunk_id(chunk))
    return json_answer({"node": desk.node, "purged": purged})


def _chunk_id(text: str) -> ChunkId:
    try:
        chunk_id = bytes.fromhex(text)
    except ValueError:
        chunk_id = b""
    if len(chunk_id) != CHUNK_ID_BYTES:
        raise QuerySyntax(f"a chunk is named by {2 * CHUNK_ID_BYTES} hex digits, not {text[:80]!r}")
    return ChunkId(chunk_id)
