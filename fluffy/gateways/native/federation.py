"""What a supernode asks of a cluster: the change feed as rows, the whole tree as rows, hashes, and who may see what.

Every answer says which cluster, which history (`epoch`) and how far (`seq`); a stale one (no majority) says so in its
headers as everywhere, and a follower never goes back to an older state. The feed waits for news like `/v1/changes`,
so a supernode needs one request a second to know a quiet cluster's state, leader and load.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import HistoryCut, NotReady, QuerySyntax
from fluffy.base.units import GIB
from fluffy.core.metadata import queries, queries_federation
from fluffy.core.metadata.model import ClusterState
from fluffy.core.metadata.queries_federation import Place
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.changes import wait_a_moment
from fluffy.gateways.native.desk import REQUEST_TIMEOUT_S, Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.wire.catalog_rows import hash_of_rows, parse_place, piece_json, place_text, row_json
from fluffy.wire.iptable import format_host

# A megabyte of JSON, 50 ms of a core.
ROWS_MAX = 5_000
FEED_WAIT_MAX_S = 30


async def feed(desk: Desk, call: Call) -> Answer:
    """GET /v1/federation/feed?since=&epoch=&limit=&wait_s="""
    since = call.number("since", 0, 2**62)
    limit = call.number("limit", ROWS_MAX, ROWS_MAX, least=1)
    epoch = call.query.get("epoch", "")
    deadline = Deadline.after(call.number("wait_s", 0, FEED_WAIT_MAX_S))
    while call.point.seq <= since and not deadline.passed and not desk.is_closing:
        if await wait_a_moment(desk, since + 1, deadline):
            break
    state, piece, facts = await desk.reader.read_in_thread(
        lambda db: (_state(db), queries_federation.feed_piece(db, since, limit), _facts(db)),
        Deadline.after(REQUEST_TIMEOUT_S))
    if piece.cut or epoch not in ("", epoch_of(state)):
        raise HistoryCut(oldest=0, seq=state.seq, epoch=epoch_of(state))
    return json_answer({**_who(state), **piece_json(piece), "state": {**facts, **_moment(desk)}})


async def rows(desk: Desk, call: Call) -> Answer:
    """GET /v1/federation/rows?after=&limit="""
    limit, after = call.number("limit", ROWS_MAX, ROWS_MAX, least=1), _place_of(call)
    state, found = await desk.reader.read_in_thread(
        lambda db: (_state(db), queries_federation.rows_after(db, after, limit)), call.deadline)
    end = place_text((found[-1].parent, found[-1].key)) if len(found) == limit else None
    return json_answer({**_who(state), "rows": [row_json(row) for row in found], "after": end})


async def folder(desk: Desk, call: Call) -> Answer:
    """GET /v1/federation/folders/{no}?after=&limit="""
    number = call.params["no"]
    if not (number.isascii() and number.isdigit() and len(number) <= 13):
        raise QuerySyntax("a folder's number has digits only")
    limit, after = call.number("limit", ROWS_MAX, ROWS_MAX, least=1), call.query.get("after", "")
    state, found = await desk.reader.read_in_thread(
        lambda db: (_state(db), queries_federation.rows_of_folder(db, int(number), after, limit)), call.deadline)
    end = found[-1].key if len(found) == limit else None
    return json_answer({**_who(state), "rows": [row_json(row) for row in found], "after": end})


async def row_hash(desk: Desk, call: Call) -> Answer:
    """GET /v1/federation/hash?after=&limit=: over the rows that `rows` would give."""
    limit, after = call.number("limit", ROWS_MAX, ROWS_MAX, least=1), _place_of(call)

    def look(db: sqlite3.Connection) -> tuple[ClusterState, int, str, Place | None]:
        found = queries_federation.rows_after(db, after, limit)
        end = (found[-1].parent, found[-1].key) if len(found) == limit else None
        return _state(db), len(found), hash_of_rows(found), end

    state, count, digest, end = await desk.reader.read_in_thread(look, call.deadline)
    return json_answer({**_who(state), "rows": count, "hash": digest,
                        "after": None if end is None else place_text(end)})


async def sight(desk: Desk, call: Call) -> Answer:
    """GET /v1/federation/sight: `buckets` null means all."""
    state, buckets = desk.reader.read(lambda db: (_state(db), queries.readable_buckets(db, call.user)))
    return json_answer({**_who(state), "user": call.user.name, "role": call.user.role,
                        "buckets": None if buckets is None else sorted(buckets)})


def epoch_of(state: ClusterState) -> str:
    """Which history the positions of the feed belong to."""
    return str(state.cluster_uuid)


def _state(db: sqlite3.Connection) -> ClusterState:
    state = queries.cluster_state(db)
    if state is None:
        raise NotReady
    return state


def _who(state: ClusterState) -> dict[str, Any]:
    return {"cluster": state.cluster_name, "uuid": state.cluster_uuid, "epoch": epoch_of(state), "at_seq": state.seq}


def _facts(db: sqlite3.Connection) -> dict[str, Any]:
    """What a supernode shows of a cluster, and chooses by."""
    usage, members, placement = queries.usage(db), queries.members(db), queries.placement_map(db)
    return {
        "files": usage.files, "bytes": usage.bytes, "nodes": len(members),
        "nodes_up": sum(1 for member in members if member.state == "up"),
        "free_bytes": sum(node.weight for node in placement.nodes if node.state == "up") * GIB,
        "peers": [f"{format_host(member.record.host)}:{member.record.http}" for member in members]}


def _moment(desk: Desk) -> dict[str, Any]:
    """What the answering node knows about now. `load`: of this machine, 1.0 is all cores busy."""
    status = desk.pulse.last.status
    return {"leader": None if status is None else status.leader,
            "majority": None if status is None else status.majority_connected,
            "load": round(os.getloadavg()[0] / (os.cpu_count() or 1), 3), "node": desk.node, "scheme": desk.scheme}


def _place_of(call: Call) -> Place:
    text = call.query.get("after")
    if not text:
        return (0, "")
    try:
        return parse_place(text)
    except ValueError as error:
        raise QuerySyntax(f"parameter after: {error}") from error

