"""Machines that come, are emptied, go and are replaced, over HTTP. The log and the leader do the work; see
core/metadata/apply_members.py and services/keeper/members.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AlreadyExists, NodeNotFound, NotReady, PreconditionFailed, RequestMalformed
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.base.units import DAY_MS, format_size
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_keeper import AskKeepers
from fluffy.core.metadata.commands_members import AdmitNode, DrainNode, RemoveNode, WelcomeDisk
from fluffy.core.metadata.model import Member
from fluffy.core.metadata.queries_members import DrainReport
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk, NodesDoor
from fluffy.gateways.native.exchange import JSON_TYPE, Call, Point, json_answer
from fluffy.gateways.native.json_body import read_json, read_object
from fluffy.wire.iptable import format_host
from fluffy.wire.joining import RETURN_HEADER, JoinAnswer, KnownNode, decode_question, encode_answer

JOIN_BODY_BYTES_MAX = 16 * 1024
# How long a request waits for a removed node to be gone; a leader needs a second or two for each step.
REMOVED_WAIT_S = 8.0
REMOVED_POLL_S = 0.2
# An operator brings a disk within a day, or says so again.
WELCOME_MS = DAY_MS
_ALIVE = ("up", "draining")


async def join(desk: Desk, call: Call) -> Answer:
    """POST /v1/join: a machine that has the cluster's secret becomes a member. Its proof is its credential."""
    door = _door(desk)
    value = await read_object(call, JOIN_BODY_BYTES_MAX)
    question = decode_question(value, door.join_key, desk.clock.now_ms())
    state = desk.reader.read(queries.cluster_state)
    if state is None:
        raise NotReady("the cluster is not born yet")
    if question.cluster != state.cluster_name:
        raise PreconditionFailed(f"this is the cluster {state.cluster_name}, but the configuration of "
                                 f"{question.node.name} says {question.cluster}: correct cluster.name there")
    node = question.node
    if RETURN_HEADER.lower() in call.headers and _find(desk, node.name) is None and not desk.reader.read(
            lambda db: queries.is_disk_expected(db, node.name)):
        raise AlreadyExists(f"the cluster is there already, and {node.name} is not a member of it: start it with: "
                            f"server.py {node.name} --join HOST:PORT", node=node.name)
    header = Header(RequestId(b""), desk.clock.now_ms(), desk.data_path().node_no, UserNo(0))
    outcome = await desk.propose(AdmitNode(header, node.name, node.disk_uuid, node.zone, node.host, node.http,
                                           node.raft, node.data, node.s3))
    if not outcome.facts["node_no"]:
        raise NotReady(f"the old disk of {node.name} is being removed; ask again in a moment")
    voters, records = desk.reader.read(lambda db: (queries.voters(db), queries.node_records(db)))
    known = tuple(KnownNode(record.name, record.disk_uuid, record.host, record.raft) for record in records)
    answer = JoinAnswer(outcome.facts["node_no"], state.cluster_uuid, voters, known)
    return Answer(200, [("Content-Type", JSON_TYPE)], encode_answer(answer, question.nonce, door.join_key))


async def drain(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/nodes/{name}/drain: empty a node, or with `cancel` let it be filled again."""
    fields = await read_json(call, "cancel")
    name = call.params["name"]
    outcome = await desk.propose(DrainNode(desk.header(call), name, not fields.flag("cancel")))
    call.point = Point(outcome.seq)
    return json_answer(await _drain_json(desk, call, name))


async def show_drain(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/nodes/{name}/drain: how far it is, and whether the node may be stopped for good."""
    return json_answer(await _drain_json(desk, call, call.params["name"]))


async def _drain_json(desk: Desk, call: Call, name: str) -> dict[str, Any]:
    member = _member(desk, name)
    node_no = member.record.node_no
    intent = desk.reader.read(queries.node_intents).get(node_no)
    others = _staying(desk, node_no)
    report = await desk.reader.read_in_thread(lambda db: queries.drain_report(db, node_no, others), call.deadline)
    state = desk.reader.read(queries.cluster_state)
    wanted = 0 if state is None else state.settings.replication
    return {
        "node": name, "state": member.state, "draining": intent is not None and intent.draining_ms is not None,
        "leaving": intent is not None and intent.leaving_ms is not None,
        "since_ms": None if intent is None else intent.draining_ms, "chunks": report.chunks, "bytes": report.bytes,
        "waiting": report.needed, "waiting_bytes": report.needed_bytes, "only_here": report.only_here,
        "safe": report.is_safe, "verdict": verdict_of(report, wanted=wanted, others=len(others))}


def verdict_of(report: DrainReport, *, wanted: int, others: int) -> str:
    """The sentence by which an operator decides."""
    if report.is_safe:
        return "safe to stop: every chunk has its copies elsewhere"
    chunks = f"{report.needed} chunks ({format_size(report.needed_bytes)})"
    if others < wanted:
        return (f"not safe: {chunks} would have too few copies, and there are only {others} other nodes that can hold "
                f"{wanted} copies; add a machine first")
    lost = f", {report.only_here} of them have no other copy at all" if report.only_here else ""
    return f"not safe yet: {chunks} still need a copy elsewhere{lost}"


async def remove(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/admin/nodes/{name}: end the membership of a node that was emptied; `force`: of one that is dead."""
    name, force = call.params["name"], call.flag("force")
    if _find(desk, name) is None and any(node.name == name for node in desk.reader.read(queries.retired_nodes)):
        return json_answer({"node": name, "removed": True})
    before = await _drain_json(desk, call, name)
    if not force and not before["safe"]:
        raise PreconditionFailed(f"{name} is {before['verdict']}", waiting=before["waiting"])
    if force and before["state"] in _ALIVE and not before["safe"]:
        raise PreconditionFailed(f"{name} is alive: empty it (drain {name}), or stop it before you give it up")
    outcome = await desk.propose(RemoveNode(desk.header(call), name, force))
    call.point = Point(outcome.seq)
    node_no = NodeNo(outcome.facts["node_no"])
    gone = name != desk.node and await _is_gone(desk, node_no, Deadline.after(REMOVED_WAIT_S))
    cost = {"short_of_copies": before["waiting"], "lost_chunks": before["only_here"]} if force else {}
    return json_answer({"node": name, "removed": gone, **cost}, 200 if gone else 202)


async def _is_gone(desk: Desk, node_no: NodeNo, deadline: Deadline) -> bool:
    while not deadline.passed:
        if all(record.node_no != node_no for record in desk.reader.read(queries.node_records)):
            return True
        await asyncio.sleep(REMOVED_POLL_S)
    return False


async def recover(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/recover/{node}: a living node compares its disk with the catalog; for one that is away, the next
    new disk under its name is welcome for a day.
    """
    member = _member(desk, call.params["node"])
    name, node_no = member.record.name, member.record.node_no
    asked = await desk.propose(AskKeepers(desk.header(call, "ask"), "recover", node_no))
    call.point = Point(asked.seq)
    if await _is_alive(desk, member):
        return json_answer({"node": name, "alive": True, "does":
                            f"{name} compares its disk with the catalog; what it lacks is copied back to it"})
    outcome = await desk.propose(WelcomeDisk(desk.header(call, "welcome"), name, WELCOME_MS))
    call.point = Point(outcome.seq)
    return json_answer({"node": name, "alive": False, "welcome_until_ms": outcome.facts["until_ms"], "does":
                        f"start {name} as always, with its old disk or an emptied one; on another machine, whose "
                        f"configuration does not name the others, with: server.py {name} --join {_an_address(desk)}"})


async def _is_alive(desk: Desk, member: Member) -> bool:
    status = await desk.pulse.recent()
    name = member.record.name
    linked = status is None or name == status.node or any(peer.name == name and peer.connected for peer in status.peers)
    return linked and member.state in _ALIVE


def _an_address(desk: Desk) -> str:
    records = desk.reader.read(queries.node_records)
    own = next((record for record in records if record.name == desk.node), records[0])
    return f"{format_host(own.host)}:{own.http}"


async def restart(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/nodes/{name}/restart: this very node finishes what it does, ends and starts again."""
    record = _member(desk, call.params["name"]).record
    if record.name != desk.node:
        url = f"{desk.scheme}://{format_host(record.host)}:{record.http}"
        raise PreconditionFailed(f"a node restarts only itself: ask {record.name} at {url}", url=url)
    if not _door(desk).restart():
        raise PreconditionFailed("this node does not run under server.py; restart it as you started it")
    return json_answer({"node": record.name, "restarting": True, "now_ms": desk.clock.now_ms()}, 202)


def _door(desk: Desk) -> NodesDoor:
    if desk.nodes is None:
        raise NotReady
    return desk.nodes


def _staying(desk: Desk, leaving: NodeNo) -> tuple[NodeNo, ...]:
    """Nodes that are well and stay: only their copies count for a verdict."""
    intents = desk.reader.read(queries.node_intents)
    return tuple(node.node_no for node in desk.reader.read(queries.placement_map).nodes
                 if node.state == "up" and node.node_no != leaving and node.node_no not in intents)


def _find(desk: Desk, name: str) -> Member | None:
    return next((member for member in desk.reader.read(queries.members) if member.record.name == name), None)


def _member(desk: Desk, name: str) -> Member:
    if not name:
        raise RequestMalformed("name a node")
    found = _find(desk, name)
    if found is None:
        raise NodeNotFound(f"this cluster has no node {name}", node=name)
    return found
