"""Questions about the cluster: its settings, users, members, placement, usage, and the change feed."""

from __future__ import annotations

import sqlite3

from fluffy.base.ids import ClusterUuid, NodeNo, RequestId, UserNo
from fluffy.core.metadata.changes import KINDS
from fluffy.core.metadata.commands import NodeRecord, NodeState
from fluffy.core.metadata.model import (
    Change,
    ClusterSettings,
    ClusterState,
    Member,
    PlacementMap,
    Usage,
    User,
)

_NODE_COLUMNS = "node_no, name, disk_uuid, zone, host, http, raft, data, s3"


def cluster_state(db: sqlite3.Connection) -> ClusterState | None:
    """The one row about everything; None before genesis."""
    row = db.execute(
        "SELECT cluster_uuid, name, replication, write_quorum, chunk_size, inline_max, trash_days, versions_max,"
        " seq, clock_ms, applied_index, feature_level FROM cluster, state").fetchone()
    if row is None:
        return None
    return ClusterState(ClusterUuid(row[0]), row[1], ClusterSettings(*row[2:8]), *row[8:])


def user_by_token_hash(db: sqlite3.Connection, token_hash: bytes) -> User | None:
    """Whose API token it is; None: nobody's, or it has ended by log time. Doors: `credential_by_token_hash`."""
    row = db.execute("SELECT user_no, name, role FROM tokens JOIN users USING (user_no), state"
                     " WHERE token_hash = ? AND NOT disabled AND (expires_ms = 0 OR expires_ms > clock_ms)",
                     (token_hash,)).fetchone()
    return None if row is None else User(UserNo(row[0]), row[1], row[2])


def user_by_name(db: sqlite3.Connection, name: str) -> User | None:
    row = db.execute("SELECT user_no, name, role, disabled FROM users WHERE name = ?", (name,)).fetchone()
    return None if row is None else User(UserNo(row[0]), row[1], row[2], bool(row[3]))


def node_records(db: sqlite3.Connection) -> tuple[NodeRecord, ...]:
    """All members by number; empty before genesis."""
    return tuple(NodeRecord(*row) for row in db.execute(f"SELECT {_NODE_COLUMNS} FROM nodes ORDER BY node_no"))


def members(db: sqlite3.Connection) -> tuple[Member, ...]:
    """All members by number, with their state in the placement map and what the catalog says they hold."""
    rows = db.execute(
        "SELECT n.node_no, n.name, n.disk_uuid, n.zone, n.host, n.http, n.raft, n.data, n.s3,"
        " ifnull(p.state, 'joining'), n.chunks, n.bytes"
        " FROM nodes n LEFT JOIN placement p USING (node_no) ORDER BY n.node_no")
    return tuple(Member(NodeRecord(*row[:9]), *row[9:]) for row in rows)


def placement_map(db: sqlite3.Connection) -> PlacementMap:
    """What the leader published last; no nodes before genesis."""
    (epoch,) = db.execute("SELECT epoch FROM state").fetchone()
    rows = db.execute("SELECT node_no, state, zone, weight FROM placement ORDER BY node_no")
    return PlacementMap(epoch, tuple(NodeState(NodeNo(row[0]), *row[1:]) for row in rows))


def usage(db: sqlite3.Connection) -> Usage:
    """Sums over everything, kept by the state machine."""
    return Usage(*db.execute("SELECT files, file_bytes, chunks, chunk_bytes, missing_chunks FROM state").fetchone())


def changes(db: sqlite3.Connection, since_seq: int, limit: int) -> tuple[Change, ...]:
    """Up to `limit` changes after `since_seq`, oldest first. Complete only if `since_seq` >= `changes_cut(db)`."""
    rows = db.execute(
        "SELECT seq, at_ms, kind, path, generation, size, ifnull(name, ''), source"
        " FROM changes LEFT JOIN users ON user_no = owner_no WHERE seq > ? ORDER BY seq LIMIT ?", (since_seq, limit))
    return tuple(Change(seq, at_ms, KINDS[kind], path, generation, size, owner, source)
                 for seq, at_ms, kind, path, generation, size, owner, source in rows)


def is_answered(db: sqlite3.Connection, request_id: RequestId) -> bool:
    """Whether a request with that id was answered lately. A scan: run it in a thread."""
    return db.execute("SELECT 1 FROM requests WHERE request_id = ?", (request_id,)).fetchone() is not None


def rebuilding(db: sqlite3.Connection) -> tuple[bytes, str, int] | None:
    """(id, source, next step) of the rebuild that is under way."""
    row: tuple[bytes, str, int] | None = db.execute("SELECT rebuild_id, source, next_step FROM rebuilding").fetchone()
    return row
