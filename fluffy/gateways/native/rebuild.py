"""Filling an empty cluster again: the steps of a rebuild, and what this node's own disk still holds."""

from __future__ import annotations

import os

from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, QuerySyntax
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId, RequestId
from fluffy.base.threads import in_thread
from fluffy.base.units import KIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_rebuild import REBUILD_ID_BYTES
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_rebuild import AbandonRebuild, BeginRebuild, EndRebuild, RebuildRows
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.backup import keepsakes_of
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import read_bytes, read_json
from fluffy.ports import ChunkStore

# What fits into one command of the log, with room for the rest of it.
STEP_BYTES_MAX = 960 * KIB
# Read from the disk within one request: 64 chunks of 8 MiB are half a GiB, a few seconds.
CHUNKS_READ_MAX = 64
CHUNKS_ASKED_MAX = 2_000


async def get_rebuild(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/rebuild"""
    found = desk.reader.read(queries.rebuilding)
    return json_answer({"rebuilding": None if found is None else {
        "id": found[0].hex(), "source": found[1], "next_step": found[2]}})


async def begin(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/rebuild"""
    fields = await read_json(call, "source")
    outcome = await desk.propose(BeginRebuild(desk.header(call), os.urandom(REBUILD_ID_BYTES), fields.text("source")),
                                 is_large=True)
    return json_answer({"id": outcome.facts["rebuild_id"].hex(), "next_step": outcome.facts["next_step"]}, 201)


async def put_step(desk: Desk, call: Call) -> Answer:
    """PUT /v1/admin/rebuild/{id}/steps/{n}?table=: its rows, packed"""
    rows = await read_bytes(call, STEP_BYTES_MAX)
    number = call.params["n"]
    if not (number.isascii() and number.isdigit() and len(number) <= 12):
        raise QuerySyntax("steps are numbered from 0 on")
    outcome = await desk.propose(RebuildRows(_plain_header(desk, call), _rebuild_id(call), int(number),
                                             call.query.get("table", ""), rows), is_large=True)
    return json_answer({"next_step": outcome.facts["next_step"]})


async def end(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/rebuild/{id}/end"""
    names = ("step", "seq", "last_no", "clock_ms", "files", "file_bytes")
    fields = await read_json(call, *names)
    numbers = [fields.number_or_none(name) for name in names]
    told = [number for number in numbers if number is not None]
    if len(told) != len(names):
        raise QuerySyntax(f"fields {', '.join(names)} are whole numbers of at least 0")
    # Under the request's own id: whoever lost the answer asks again, and the rebuild is over by then.
    outcome = await desk.propose(EndRebuild(desk.header(call), _rebuild_id(call), *told), is_large=True)
    return json_answer({"files": outcome.facts["files"], "bytes": outcome.facts["bytes"]})


async def abandon(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/admin/rebuild/{id}"""
    await desk.propose(AbandonRebuild(desk.header(call), _rebuild_id(call)), is_large=True)
    return Answer(204, [])


def _plain_header(desk: Desk, call: Call) -> Header:
    """Steps are counted, so they need no window of requests."""
    return Header(RequestId(b""), desk.clock.now_ms(), desk.data_path().node_no, call.user.user_no)


def _rebuild_id(call: Call) -> bytes:
    try:
        return bytes.fromhex(call.params["id"])
    except ValueError as error:
        raise QuerySyntax("the id of a rebuild is hexadecimal") from error


async def check_chunks(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/chunks: which of these chunks lie on this node's own disk"""
    fields = await read_json(call, "chunks", "read")
    reads = fields.flag("read")
    asked = fields.values.get("chunks")
    most = CHUNKS_READ_MAX if reads else CHUNKS_ASKED_MAX
    if not isinstance(asked, list) or len(asked) > most:
        raise QuerySyntax(f"chunks is a list of at most {most} ids")
    ids = [_chunk_id(text) for text in asked]
    keepsakes = keepsakes_of(desk)
    good = await in_thread(keepsakes.threads, _good_chunks, keepsakes.store, ids, reads)
    return json_answer({"good": [chunk_id.hex() for chunk_id in good], "node": desk.node})


def _chunk_id(text: object) -> ChunkId:
    try:
        chunk_id = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        chunk_id = b""
    if len(chunk_id) != CHUNK_ID_BYTES:
        raise QuerySyntax(f"the id of a chunk is {2 * CHUNK_ID_BYTES} hexadecimal digits")
    return ChunkId(chunk_id)


def _good_chunks(store: ChunkStore, ids: list[ChunkId], reads: bool) -> list[ChunkId]:
    """Those that are here and good; a bad one goes to quarantine."""
    good = []
    for chunk_id in ids:
        try:
            length = store.length(chunk_id)
            if reads:
                store.read(chunk_id, 0, memoryview(bytearray(length)))
        except (ChunkNotFound, ChunkCorrupt):
            continue
        good.append(chunk_id)
    return good


async def list_manifests(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/manifests: what lies on this node's own disk, of whichever cluster"""
    keepsakes = keepsakes_of(desk)
    stocks = await in_thread(keepsakes.threads, keepsakes.manifests.stocks)
    return json_answer({"node": desk.node, "stocks": [
        {"cluster": stock.cluster_uuid, "segments": list(stock.segments), "bytes": stock.bytes,
         "written_ms": stock.written_ms} for stock in stocks]})


async def get_manifests(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/manifests/{cluster}/{segment}: one segment, as it lies there"""
    keepsakes = keepsakes_of(desk)
    data = await in_thread(keepsakes.threads, keepsakes.manifests.segment, call.params["cluster"],
                           call.params["segment"])
    return Answer(200, [("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store")], data)
