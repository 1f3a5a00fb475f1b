"""The cluster's own state over HTTP: health, status, nodes, metrics, checkpoint, the API's description."""

from __future__ import annotations

from typing import Any

from fluffy import __version__
from fluffy.base.deadline import Deadline
from fluffy.base.errors import NotReady
from fluffy.base.ids import NodeNo
from fluffy.core.health.diagnosis import About
from fluffy.core.metadata import queries
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.errors import answer_of
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.jobs import repair_json
from fluffy.gateways.native.openapi import openapi_document
from fluffy.gateways.native.pulse import readiness
from fluffy.gateways.native.search import status_json
from fluffy.ports import LogStatus

CHECKPOINT_TIMEOUT_S = 60.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(desk: Desk, call: Call) -> Answer:
    """GET /healthz: this process is alive, whatever the cluster does."""
    return json_answer({"status": "alive", "node": desk.node})


async def readyz(desk: Desk, call: Call) -> Answer:
    """GET /readyz: 200 when this node has a leader, is caught up and has found those who keep copies."""
    status = await desk.pulse.recent()
    why_not = readiness(status)
    if why_not is None and desk.data is None:
        why_not = NotReady("this node is still opening its data path")
    if why_not is None and desk.is_meeting:
        why_not = NotReady("this node is still looking for the data ports of the others, which keep copies of what it "
                           "is given")
    if why_not is not None or status is None:
        answer = answer_of(why_not or NotReady(), call.request_id)
        answer.headers.append(("Fluffy-Node", desk.node))
        return answer
    return json_answer({"status": "ready", "node": desk.node, "leader": status.leader, "seq": status.seq,
                        "started_ms": desk.started_ms})


async def get_status(desk: Desk, call: Call) -> Answer:
    """GET /v1/status"""
    status = await desk.pulse.recent()
    state = desk.reader.read(queries.cluster_state)
    usage = desk.reader.read(queries.usage)
    if state is None:
        raise NotReady
    settings = state.settings
    value: dict[str, Any] = {
        "cluster": {"name": state.cluster_name, "uuid": state.cluster_uuid},
        "user": {"name": call.user.name, "role": call.user.role},
        "node": desk.node, "version": __version__, "seq": state.seq, "feature_level": state.feature_level,
        "consistency": desk.consistency, "supernodes": list(desk.supernodes.urls),
        "settings": {"replication": settings.replication, "write_quorum": settings.write_quorum,
                     "chunk_size": settings.chunk_size, "inline_max": settings.inline_max,
                     "trash_days": settings.trash_days, "versions_max": settings.versions_max},
        "usage": {"files": usage.files, "bytes": usage.bytes, "chunks": usage.chunks,
                  "chunk_bytes": usage.chunk_bytes, "missing_chunks": usage.missing_chunks},
        "repair": None if desk.data is None else repair_json(await desk.data.doctor.progress.now()),
        "search": status_json(desk.reader.read(lambda db: desk.names.status(db, desk.clock.now_ms()))),
        "keeper": desk.keeper_word(),
        "ready": readiness(status) is None, "age_s": call.point.age_s or 0, **_log_json(status),
        "nodes": _members_json(desk, status)}
    return json_answer(value)


async def get_nodes(desk: Desk, call: Call) -> Answer:
    """GET /v1/nodes; ?ask=1: each is asked for what only it knows."""
    status = await desk.pulse.recent()
    lines = _members_json(desk, status)
    if call.flag("ask"):
        told = await desk.data_path().doctor.ask_all([NodeNo(line["no"]) for line in lines])
        lines = [{**line, "told": _told_json(told[line["no"]])} for line in lines]
    return json_answer({"nodes": lines,
                        "leader": status.leader if status is not None else None, "age_s": call.point.age_s or 0})


async def get_metrics(desk: Desk, call: Call) -> Answer:
    """GET /metrics"""
    return Answer(200, [("Content-Type", METRICS_TYPE)], await desk.metrics.text())


async def make_checkpoint(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/checkpoint"""
    index = await desk.log.checkpoint(Deadline.after(CHECKPOINT_TIMEOUT_S))
    return json_answer({"index": index, "node": desk.node})


async def get_openapi(desk: Desk, call: Call) -> Answer:
    """GET /v1/openapi.json"""
    return json_answer(openapi_document(desk.table.routes, __version__))


def _told_json(about: About | None) -> dict[str, Any] | None:
    """What a node said of itself a moment ago; null: it did not answer."""
    if about is None:
        return None
    return {"version": about.version, "free_bytes": about.free_bytes, "total_bytes": about.total_bytes or None,
            "seq": None if about.seq < 0 else about.seq, "clock_ms": about.skew_ms, "keeper": about.keeper_works,
            "load": None if about.load_permille < 0 else about.load_permille / 1000,
            "requests": about.users_requests, "sent_bytes": about.users_sent_bytes,
            "received_bytes": about.users_received_bytes}


def _log_json(status: LogStatus | None) -> dict[str, Any]:
    if status is None:
        return {"leader": None, "majority": None, "log": None}
    return {"leader": status.leader, "majority": status.majority_connected, "log": {
        "term": status.term, "commit_index": status.commit_index, "applied_index": status.applied_index,
        "caught_up": status.caught_up, "bytes": status.log_bytes, "checkpoint_index": status.checkpoint_index,
        "fsync": status.fsync, "waiting_for": status.waiting_for}}


def _members_json(desk: Desk, status: LogStatus | None) -> list[dict[str, Any]]:
    """Every member; what only the log process knows (links, lag) is null while it is silent."""
    members, voters = desk.reader.read(lambda db: (queries.members(db), queries.voters(db)))
    peers = {peer.name: peer for peer in status.peers} if status is not None else {}
    lines = []
    for member in members:
        record, peer = member.record, peers.get(member.record.name)
        is_self = status is not None and record.name == status.node
        lines.append({
            "name": record.name, "no": record.node_no, "zone": record.zone, "host": record.host, "http": record.http,
            "raft": record.raft, "data": record.data, "s3": record.s3, "state": member.state,
            "voter": voters.get(record.name) == record.disk_uuid,
            "connected": True if is_self else (peer.connected if peer is not None else None),
            "behind": peer.behind if peer is not None and peer.behind >= 0 else (0 if is_self else None),
            "leader": status is not None and record.name == status.leader,
            "chunks": member.chunks, "bytes": member.bytes})
    return lines
