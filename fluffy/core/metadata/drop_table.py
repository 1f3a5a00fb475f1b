"""Drops of copies: the answer to the race between removing a chunk's file and uploading the same bytes again.

A node deletes the file of a copy only under a lease that the log gave it (`apply_leases`). From that entry on

1. the copy does not count: it is out of `chunks.replicas`;
2. whoever claims to have stored the chunk on that node is not believed (*barred*), because the node may have answered
   "it is here already" just before it deleted the file.

The bar ends when the claim can only be about a newer file: its writer says with which `seq` of its own state it began
to send bytes, and the node had told before that `seq` that the file is deleted. Claims that do not say when they began
are barred until DROP_BAR_MS after the deletion, which is longer than any upload lasts.

Bars end in log time, which one wrong clock can take ahead. So of those that are cleared away the newest `done_seq` is
kept, the *floor*: a writer that began before it is believed about nothing, for nobody knows any more which copies were
dropped since. Writers begin hours after the floor, unless log time has jumped.

A granted drop is not thrown away with its job: until its node has told, nobody knows whether the file is there. Rows
are kept by chunk id, so that a chunk that is forgotten and comes again meets its bars.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import HOUR_MS
from fluffy.core.metadata.working import CLOCK_MS_MAX, Working

# Twice the longest upload (core/repair/retention.py; a test compares), for wall clocks that differ.
DROP_BAR_MS = 12 * HOUR_MS
# What one command clears away: 10 ms.
SWEEP_MAX = 2_000
# The row that holds the floor is about no chunk and no node, and its end never comes.
FLOOR_CHUNK = ChunkId(b"")
FLOOR_NODE = NodeNo(0)
NEVER_MS = CLOCK_MS_MAX + DROP_BAR_MS + 1


def grant(work: Working, chunk_id: ChunkId, node_no: NodeNo) -> None:
    """From here on that copy does not count. The caller takes it out of the chunk's row."""
    work.db.execute("INSERT OR REPLACE INTO drops VALUES (?, ?, ?, 0, 0)", (chunk_id, node_no, work.clock_ms))
    recount(work)


def is_granted(work: Working, chunk_id: ChunkId, node_no: NodeNo) -> bool:
    """Whether the node may delete, or have deleted, the file and has not told yet."""
    return bool(work.drops) and work.db.execute(
        "SELECT 1 FROM drops WHERE chunk_id = ? AND node_no = ? AND done_ms = 0", (chunk_id, node_no)
    ).fetchone() is not None


def end(work: Working, chunk_id: ChunkId, node_no: NodeNo) -> None:
    """The node has told that the file is deleted; the command that tells counts as the next `seq`."""
    work.db.execute("UPDATE drops SET done_seq = ?, done_ms = max(1, ?) WHERE chunk_id = ? AND node_no = ?",
                    (work.seq + 1, work.clock_ms, chunk_id, node_no))


def lift_bar(work: Working, chunk_id: ChunkId, node_no: NodeNo) -> None:
    """The node certainly has the file now, whatever was before."""
    if work.drops:
        work.db.execute("DELETE FROM drops WHERE chunk_id = ? AND node_no = ?", (chunk_id, node_no))
        recount(work)


def believed(work: Working, chunk_id: ChunkId, nodes: Sequence[NodeNo], *, since_seq: int | None = None,
             ) -> tuple[NodeNo, ...]:
    """Those of the nodes that are said to hold a chunk of which that may be true, in their order.

    `since_seq`: of the state with which a writer began to send the bytes; 0: nothing was dropped then. None: a node
    tells what it has on its disk now.
    """
    if not work.drops or not nodes:
        return tuple(nodes)
    barred = {node_no for node_no, done_seq in work.db.execute(
        "SELECT node_no, done_seq FROM drops WHERE chunk_id IN (?, ?)", (chunk_id, FLOOR_CHUNK))
        if not 0 < done_seq <= (since_seq or 0)}
    if FLOOR_NODE in barred and since_seq is not None:
        return ()
    return tuple(node_no for node_no in nodes if node_no not in barred)


def sweep(work: Working) -> int:
    """Clear away bars that no upload can meet any more; returns how many."""
    if not work.drops:
        return 0
    rows = work.db.execute("SELECT chunk_id, node_no, done_seq FROM drops WHERE done_ms > 0 AND done_ms <= ?"
                           " ORDER BY done_ms, chunk_id, node_no LIMIT ?",
                           (work.clock_ms - DROP_BAR_MS, SWEEP_MAX)).fetchall()
    if rows:
        work.db.executemany("DELETE FROM drops WHERE chunk_id = ? AND node_no = ?", [row[:2] for row in rows])
        work.db.execute("INSERT INTO drops VALUES (?, ?, 0, ?, ?) ON CONFLICT DO UPDATE"
                        " SET done_seq = max(done_seq, excluded.done_seq)",
                        (FLOOR_CHUNK, FLOOR_NODE, max(row[2] for row in rows), NEVER_MS))
        recount(work)
    return len(rows)


def forget_node(work: Working, node_no: NodeNo) -> None:
    """A member is gone for good: its number is never used again."""
    work.db.execute("DELETE FROM drops WHERE node_no = ?", (node_no,))
    recount(work)


def recount(work: Working) -> None:
    """`Working.drops` says whether anybody need look into the table."""
    work.drops = work.db.execute("SELECT 1 FROM drops LIMIT 1").fetchone() is not None
