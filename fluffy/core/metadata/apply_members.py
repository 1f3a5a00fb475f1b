"""Members: admitted, given and denied their vote, emptied, removed, replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import AlreadyExists, NodeNotFound, PreconditionFailed, RequestError
from fluffy.base.ids import NodeNo
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import chunk_table, health_table, job_table
from fluffy.core.metadata.apply_cluster import NODES_MAX
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.commands_members import (
    AdmitNode,
    DrainNode,
    RemoveNode,
    RetireNode,
    SetVoters,
    StripCopies,
    WelcomeDisk,
)
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import NODE_NO_MAX
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refused
from fluffy.core.metadata.working import Working

# A step of StripCopies: rows read and perhaps written in one entry.
STRIP_CHUNKS_MAX = 2_000
# A name whose next disk is welcome is a door left open; nobody needs longer to bring one.
WELCOME_MS_MAX = 7 * DAY_MS


def admit_node(work: Working, command: AdmitNode) -> Outcome:
    """A new member without a vote. facts: node_no (0: the old disk of that name must leave first; ask again)."""
    refusal = refuse_operator(work, command.header.user_no) or _refuse_record(command)
    if refusal is not None:
        return refusal
    db = work.db
    if db.execute("SELECT 1 FROM retired_nodes WHERE disk_uuid = ?", (command.disk_uuid,)).fetchone():
        return refused(AlreadyExists, f"this disk was removed from the cluster and cannot come back: empty the folder "
                                      f"of {command.name}, and join again as a new disk")
    row = db.execute("SELECT node_no, name FROM nodes WHERE disk_uuid = ?", (command.disk_uuid,)).fetchone()
    if row is not None:
        return _same_disk(work, command, NodeNo(row[0]), row[1])
    row = db.execute("SELECT node_no FROM nodes WHERE name = ?", (command.name,)).fetchone()
    if row is not None:
        return _other_disk(work, command, NodeNo(row[0]))
    (last,) = db.execute("SELECT max(node_no) FROM (SELECT node_no FROM nodes UNION ALL"
                         " SELECT node_no FROM retired_nodes)").fetchone()
    if len(work.nodes) >= NODES_MAX or last >= NODE_NO_MAX:
        return refused(RequestError, f"a cluster has at most {NODES_MAX} nodes")
    node_no = NodeNo(last + 1)
    db.execute("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
               (node_no, command.name, command.disk_uuid, *_addresses(command)))
    db.execute("DELETE FROM expected_disks WHERE name = ?", (command.name,))
    work.add_node(node_no)
    return _changed(work, {"node_no": node_no})


def _refuse_record(command: AdmitNode) -> Rejected | None:
    texts_fit = all(is_name(text) for text in (command.name, command.disk_uuid, command.host, command.zone))
    ports = (command.http, command.raft, command.data, command.s3)
    if texts_fit and all(0 <= port < 65_536 for port in ports):
        return None
    return refused(RequestError, "a node's name or address is out of range")


def _addresses(command: AdmitNode) -> tuple[object, ...]:
    return command.zone, command.host, command.http, command.raft, command.data, command.s3


def _same_disk(work: Working, command: AdmitNode, node_no: NodeNo, name: str) -> Outcome:
    if name != command.name:
        return refused(AlreadyExists, f"this disk is the member {name}; start it under that name", node=name)
    columns = "zone, host, http, raft, data, s3"
    before = work.db.execute(f"SELECT {columns} FROM nodes WHERE node_no = ?", (node_no,)).fetchone()
    if before == _addresses(command):
        return Accepted(work.seq, {"node_no": node_no})
    work.db.execute(f"UPDATE nodes SET ({columns}) = (?, ?, ?, ?, ?, ?) WHERE node_no = ?",
                    (*_addresses(command), node_no))
    return _changed(work, {"node_no": node_no})


def _other_disk(work: Working, command: AdmitNode, old_no: NodeNo) -> Outcome:
    """Somebody is at a name that is taken: only when an operator has said so, and never instead of a node that lives.
    """
    name = command.name
    until = work.db.execute("SELECT until_ms FROM expected_disks WHERE name = ?", (name,)).fetchone()
    if until is None or until[0] < work.clock_ms:
        return refused(AlreadyExists, f"{name} is a member with another disk; if that disk was emptied or exchanged, "
                                      f"an admin says so with: recover {name}; then start this node again with --join",
                       node=name)
    state = work.db.execute("SELECT state FROM placement WHERE node_no = ?", (old_no,)).fetchone()
    if state is not None and state[0] in ("up", "draining"):
        return refused(PreconditionFailed, f"the old disk of {name} is still in use; stop it, and wait until the "
                                           "cluster has noticed", node=name)
    if _is_leaving(work, old_no):
        return Accepted(work.seq, {"node_no": 0})
    _set_intent(work, old_no, "leaving_ms", work.clock_ms)
    work.db.execute("UPDATE node_intents SET forced = 1 WHERE node_no = ?", (old_no,))
    return _changed(work, {"node_no": 0})


def set_voters(work: Working, command: SetVoters) -> Outcome:
    """Note who votes: the log has decided it already, so nothing is refused. facts: voters."""
    work.db.execute("DELETE FROM voters")
    voters = sorted(voter for voter in command.voters if is_name(voter[0]) and is_name(voter[1]))
    work.db.executemany("INSERT OR REPLACE INTO voters VALUES (?, ?)", voters)
    return _changed(work, {"voters": len(command.voters)})


def drain_node(work: Working, command: DrainNode) -> Outcome:
    """Note that a node is to be emptied, or not any more; the placement map says so at once. facts: node_no."""
    node_no = _operators_node(work, command.header.user_no, command.node)
    if isinstance(node_no, Rejected):
        return node_no
    if _is_leaving(work, node_no):
        return refused(PreconditionFailed, f"{command.node} is being removed", node=command.node)
    (draining,) = work.db.execute("SELECT count(*) FROM node_intents WHERE node_no = ? AND draining_ms IS NOT NULL",
                                  (node_no,)).fetchone()
    if bool(draining) == command.on:
        return Accepted(work.seq, {"node_no": node_no})
    _set_intent(work, node_no, "draining_ms", work.clock_ms if command.on else None)
    _publish_draining(work, node_no, command.on)
    return _changed(work, {"node_no": node_no})


def _publish_draining(work: Working, node_no: NodeNo, on: bool) -> None:
    """The placement map says it from now on; the leader's next one goes on from there."""
    before, after = (("up", "suspect"), "draining") if on else (("draining",), "up")
    row = work.db.execute("SELECT state, zone, weight FROM placement WHERE node_no = ?", (node_no,)).fetchone()
    if row is not None and row[0] in before:
        health_table.note(work, [NodeState(node_no, after, row[1], row[2])])
        work.db.execute("UPDATE placement SET state = ? WHERE node_no = ?", (after, node_no))
        work.epoch += 1


def remove_node(work: Working, command: RemoveNode) -> Outcome:
    """Note that a node is to go. facts: node_no."""
    node_no = _operators_node(work, command.header.user_no, command.node)
    if isinstance(node_no, Rejected):
        return node_no
    leaving = work.db.execute("SELECT count(*) FROM node_intents WHERE leaving_ms IS NOT NULL").fetchone()[0]
    if _is_leaving(work, node_no):
        return Accepted(work.seq, {"node_no": node_no})
    if len(work.nodes) - leaving <= 1:
        return refused(PreconditionFailed, "the last node of a cluster cannot be removed", node=command.node)
    (draining,) = work.db.execute("SELECT count(*) FROM node_intents WHERE node_no = ? AND draining_ms IS NOT NULL",
                                  (node_no,)).fetchone()
    if not draining and not command.forced:
        return refused(PreconditionFailed, f"empty {command.node} first: drain {command.node}", node=command.node)
    _set_intent(work, node_no, "leaving_ms", work.clock_ms)
    work.db.execute("UPDATE node_intents SET forced = ? WHERE node_no = ?", (int(command.forced), node_no))
    return _changed(work, {"node_no": node_no})


def retire_node(work: Working, command: RetireNode) -> Outcome:
    """End a membership. facts: none."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    node_no = command.node_no
    if node_no not in work.nodes:
        return refused(NodeNotFound, node_no=node_no)
    name, disk_uuid = work.db.execute("SELECT name, disk_uuid FROM nodes WHERE node_no = ?", (node_no,)).fetchone()
    votes = work.db.execute("SELECT 1 FROM voters WHERE name = ? AND disk_uuid = ?", (name, disk_uuid)).fetchone()
    if votes is not None or not _is_leaving(work, node_no):
        return refused(PreconditionFailed, f"{name} votes, or nobody wants it to go", node=name)
    strip_after = 0 if work.nodes[node_no].chunks else None
    work.db.execute("INSERT INTO retired_nodes VALUES (?, ?, ?, ?, ?)",
                    (node_no, name, disk_uuid, work.clock_ms, strip_after))
    for table in ("nodes", "node_intents", "placement"):
        work.db.execute(f"DELETE FROM {table} WHERE node_no = ?", (node_no,))
    del work.nodes[node_no]
    job_table.forget_node(work, node_no)
    health_table.forget(work, node_no)
    work.epoch += 1
    return _changed(work, {})


def strip_copies(work: Working, command: StripCopies) -> Outcome:
    """Take a retired node out of some chunks; those that then have too few copies are missing. facts: stripped, more.
    """
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    row = work.db.execute("SELECT strip_after FROM retired_nodes WHERE node_no = ?", (command.node_no,)).fetchone()
    if row is None or row[0] is None:
        return Accepted(work.seq, {"stripped": 0, "more": False})
    limit = max(1, min(command.limit, STRIP_CHUNKS_MAX))
    listing = chunk_table.listing(work, command.node_no, after_no=row[0], limit=limit)
    for chunk in listing:
        nodes = tuple(node for node in chunk.nodes if node != command.node_no)
        chunk_table.save(work, chunk, refs=chunk.refs, nodes=nodes)
    more = len(listing) == limit
    work.db.execute("UPDATE retired_nodes SET strip_after = ? WHERE node_no = ?",
                    (listing[-1].no if more else None, command.node_no))
    return _changed(work, {"stripped": len(listing), "more": more})


def welcome_disk(work: Working, command: WelcomeDisk) -> Outcome:
    """Let the next disk under this name in. facts: until_ms (0: nobody is welcome)."""
    node_no = _operators_node(work, command.header.user_no, command.node)
    if isinstance(node_no, Rejected):
        return node_no
    if not 0 <= command.ttl_ms <= WELCOME_MS_MAX:
        return refused(RequestError, "a new disk is welcome for at most a week")
    work.db.execute("DELETE FROM expected_disks WHERE name = ? OR until_ms < ?", (command.node, work.clock_ms))
    until_ms = work.clock_ms + command.ttl_ms if command.ttl_ms else 0
    if until_ms:
        work.db.execute("INSERT INTO expected_disks VALUES (?, ?)", (command.node, until_ms))
    return _changed(work, {"until_ms": until_ms})


def _operators_node(work: Working, user_no: Any, name: str) -> NodeNo | Rejected:
    """The number of a member that an operator names."""
    refusal = refuse_operator(work, user_no)
    if refusal is not None:
        return refusal
    row = work.db.execute("SELECT node_no FROM nodes WHERE name = ?", (name,)).fetchone() if is_name(name) else None
    return refused(NodeNotFound) if row is None else NodeNo(row[0])


def _is_leaving(work: Working, node_no: NodeNo) -> bool:
    return work.db.execute("SELECT 1 FROM node_intents WHERE node_no = ? AND leaving_ms IS NOT NULL",
                           (node_no,)).fetchone() is not None


def _set_intent(work: Working, node_no: NodeNo, column: str, value: int | None) -> None:
    work.db.execute("INSERT OR IGNORE INTO node_intents VALUES (?, NULL, NULL, 0)", (node_no,))
    work.db.execute(f"UPDATE node_intents SET {column} = ? WHERE node_no = ?", (value, node_no))


def _changed(work: Working, facts: dict[str, Any]) -> Accepted:
    """Members have changed: what is kept in memory of them is told, here and in the log process."""
    work.members_changed += 1
    work.seq += 1
    return Accepted(work.seq, facts)


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    AdmitNode.KIND: admit_node,
    SetVoters.KIND: set_voters,
    DrainNode.KIND: drain_node,
    RemoveNode.KIND: remove_node,
    RetireNode.KIND: retire_node,
    StripCopies.KIND: strip_copies,
    WelcomeDisk.KIND: welcome_disk,
}
