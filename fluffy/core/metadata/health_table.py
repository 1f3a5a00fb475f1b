"""Since when each node is as the placement map says: kept beside the map, in log time, so that it outlives leaders.

Kept from feature level 3 on: before that some members run programs that do not know the table, and what a command
changes must be the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.working import Working

JOBS_LEVEL = 3
DOWN = "down"
# A node that answers again is suspect first; until the detector trusts it, it has not been back.
_STILL_AWAY = frozenset({DOWN, "suspect"})


def begin(work: Working) -> None:
    """Fill the table from the map, at the feature level that begins to keep it."""
    work.db.execute("INSERT OR IGNORE INTO node_health SELECT node_no, ?, CASE state WHEN 'down' THEN ? ELSE 0 END"
                    " FROM placement", (work.clock_ms, work.clock_ms))


def note(work: Working, nodes: Sequence[NodeState]) -> None:
    """The map is about to become `nodes`: keep since when each has its state. Call before the map is replaced."""
    if work.feature_level < JOBS_LEVEL:
        return
    before: dict[NodeNo, str] = dict(work.db.execute("SELECT node_no, state FROM placement"))
    down_since: dict[NodeNo, int] = dict(work.db.execute("SELECT node_no, down_since_ms FROM node_health"))
    for node in nodes:
        if before.get(node.node_no) == node.state and node.node_no in down_since:
            continue
        since_ms = down_since.get(node.node_no, 0) if node.state in _STILL_AWAY else 0
        if node.state == DOWN and not since_ms:
            since_ms = work.clock_ms
        work.db.execute("INSERT OR REPLACE INTO node_health VALUES (?, ?, ?)",
                        (node.node_no, work.clock_ms, since_ms))


def forget(work: Working, node_no: NodeNo) -> None:
    """A member is gone for good."""
    work.db.execute("DELETE FROM node_health WHERE node_no = ?", (node_no,))
