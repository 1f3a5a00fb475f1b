"""Questions about background work: jobs and queues, the health of nodes, and stretches of chunks that may need work.

A stretch is bounded in rows looked at, not in rows found, so the plan never waits for a walk over millions; whoever
asks goes on behind `after`. Stretches are scans: ask in a thread. Everything else is small and bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.drop_table import DROP_BAR_MS
from fluffy.core.metadata.job_rules import STEAL_LOOKED_MAX, QueueLoad
from fluffy.core.metadata.model_jobs import ChunkLine, ChunkPage, Job, NodeHealth, OpenDrop, Queue, ScrubWish
from fluffy.core.metadata.packing import pack_nodes, unpack_nodes

_JOB_COLUMNS = ("job_no, kind, chunk_id, node_no, priority, cost, reason, state, created_ms, term, attempt, failures,"
                " lease_until_ms, not_before_ms, error, stolen_from, seen, stuck_ms, position")
_SELECT_JOBS = f"SELECT {_JOB_COLUMNS} FROM jobs"
_CHUNK_COLUMNS = "chunk_no, chunk_id, length, refs, wanted, replicas, free_since_ms"
_FEW = 4
_MANY = 200


def job(db: sqlite3.Connection, no: int) -> Job | None:
    """The job with that number; None: there is none (any more): done, cancelled, or not needed."""
    row = db.execute(f"{_SELECT_JOBS} WHERE job_no = ?", (no,)).fetchone()
    return None if row is None else Job(*row)


def jobs(db: sqlite3.Connection, *, after: int = 0, limit: int = 1_000) -> tuple[Job, ...]:
    """All jobs by number; `after`: the last number of the page before."""
    return tuple(Job(*row) for row in db.execute(f"{_SELECT_JOBS} WHERE job_no > ? ORDER BY job_no LIMIT ?",
                                                 (after, limit)))


def jobs_of_node(db: sqlite3.Connection, node_no: NodeNo, state: str, limit: int) -> tuple[Job, ...]:
    """Jobs of a node's queue in one state (queued, leased, stuck), in the order of the queue."""
    return tuple(Job(*row) for row in db.execute(
        f"{_SELECT_JOBS} WHERE node_no = ? AND state = ? ORDER BY priority, job_no LIMIT ?", (node_no, state, limit)))


def jobs_where(db: sqlite3.Connection, *, after: int, limit: int, node_no: NodeNo | None = None,
               state: str | None = None) -> tuple[Job, ...]:
    """Like `jobs`, of one node's queue or in one state only, when these are given."""
    return tuple(Job(*row) for row in db.execute(
        f"{_SELECT_JOBS} WHERE job_no > ? AND (? IS NULL OR node_no = ?) AND (? IS NULL OR state = ?)"
        " ORDER BY job_no LIMIT ?", (after, node_no, node_no, state, state, limit)))


def stuck_reasons(db: sqlite3.Connection) -> tuple[tuple[str, int], ...]:
    """The last errors of stuck jobs with how many jobs each holds up, most first."""
    rows = db.execute("SELECT error, count(*) FROM jobs WHERE state = 'stuck'"
                      " GROUP BY error ORDER BY count(*) DESC, error")
    return tuple((error, count) for error, count in rows)


def jobs_of_chunks(db: sqlite3.Connection, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Job, ...]]:
    """The jobs about each chunk, by node; chunks without any are absent."""
    found: dict[ChunkId, tuple[Job, ...]] = {}
    wanted = list(ids)
    width = _FEW if len(wanted) <= _FEW else _MANY
    query = f"{_SELECT_JOBS} WHERE chunk_id IN ({', '.join('?' * width)}) ORDER BY chunk_id, node_no"
    for start in range(0, len(wanted), width):
        batch = wanted[start:start + width]
        for row in db.execute(query, batch + batch[-1:] * (width - len(batch))):
            found[row[2]] = (*found.get(row[2], ()), Job(*row))
    return found


def queues(db: sqlite3.Connection) -> tuple[Queue, ...]:
    """Every node's queue, by number; a node that never had a job is absent."""
    rows = db.execute("SELECT node_no, queued, queued_bytes, leased, leased_bytes, rate, stealable, stuck,"
                      " search_after_ms, done, done_bytes, failed, stolen_in, stolen_out"
                      " FROM job_queues ORDER BY node_no")
    return tuple(Queue(NodeNo(row[0]), QueueLoad(*row[1:7]), *row[7:]) for row in rows)


def node_healths(db: sqlite3.Connection) -> tuple[NodeHealth, ...]:
    """Of every member that is in the map, by number."""
    return tuple(NodeHealth(*row) for row in db.execute("SELECT * FROM node_health ORDER BY node_no"))


def scrub_wishes(db: sqlite3.Connection) -> tuple[ScrubWish, ...]:
    """The last wish about each node, by number, done or not."""
    return tuple(ScrubWish(*row) for row in db.execute("SELECT * FROM scrub_wishes ORDER BY node_no"))


def open_drops(db: sqlite3.Connection, limit: int, node_no: NodeNo | None = None) -> tuple[OpenDrop, ...]:
    """Granted drops whose node has not told yet; of one node, or of all by node."""
    rows = db.execute("SELECT chunk_id, node_no, granted_ms FROM drops INDEXED BY drops_by_node"
                      " WHERE done_ms = 0 AND node_no BETWEEN ? AND ? ORDER BY node_no, chunk_id LIMIT ?",
                      (node_no or 0, 1 << 14 if node_no is None else node_no, limit))
    return tuple(OpenDrop(*row) for row in rows)


def is_dropping(db: sqlite3.Connection, chunk_id: ChunkId, node_no: NodeNo) -> bool:
    """Whether the node has the permission to delete its file of the chunk, as far as this state knows."""
    return db.execute("SELECT 1 FROM drops WHERE chunk_id = ? AND node_no = ? AND done_ms = 0",
                      (chunk_id, node_no)).fetchone() is not None


def drops_since(db: sqlite3.Connection) -> int:
    """What a writer that now begins to send chunks may say of that (`since_seq` of PutFile).

    0: nothing was ever dropped.
    """
    row = db.execute("SELECT seq FROM state WHERE EXISTS (SELECT 1 FROM drops)").fetchone()
    return 0 if row is None else int(row[0])


def dropping_nodes(db: sqlite3.Connection, ids: Sequence[ChunkId]) -> dict[ChunkId, tuple[NodeNo, ...]]:
    """For each of the chunks that are being dropped somewhere: where, as far as this state knows."""
    found: dict[ChunkId, tuple[NodeNo, ...]] = {}
    if db.execute("SELECT 1 FROM drops WHERE done_ms = 0 LIMIT 1").fetchone() is None:
        return found
    for chunk_id in ids:
        rows = db.execute("SELECT node_no FROM drops WHERE chunk_id = ? AND done_ms = 0 ORDER BY node_no", (chunk_id,))
        nodes = tuple(NodeNo(row[0]) for row in rows)
        if nodes:
            found[chunk_id] = nodes
    return found


def chunk_lines(db: sqlite3.Connection, ids: Sequence[ChunkId]) -> dict[ChunkId, ChunkLine]:
    """The given chunks; those that the catalog does not know are absent."""
    found: dict[ChunkId, ChunkLine] = {}
    for chunk_id in ids:
        row = db.execute(f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE chunk_id = ?", (chunk_id,)).fetchone()
        if row is not None:
            found[chunk_id] = _line(row)
    return found


def chunks_missing(db: sqlite3.Connection, after: ChunkId, limit: int) -> tuple[ChunkLine, ...]:
    """Referenced chunks with fewer copies than wanted, on whatever nodes these are, by id. By an index."""
    rows = db.execute(f"SELECT {_CHUNK_COLUMNS} FROM chunks INDEXED BY chunks_missing"
                      " WHERE copies < wanted AND chunk_id > ? ORDER BY chunk_id LIMIT ?", (after, limit))
    return tuple(_line(row) for row in rows)


def chunks_surplus(db: sqlite3.Connection, after: int, limit: int) -> tuple[ChunkLine, ...]:
    """Referenced chunks with more copies than wanted, by number. By an index."""
    rows = db.execute(f"SELECT {_CHUNK_COLUMNS} FROM chunks INDEXED BY chunks_surplus"
                      " WHERE copies > wanted AND free_since_ms IS NULL AND chunk_no > ? ORDER BY chunk_no LIMIT ?",
                      (after, limit))
    return tuple(_line(row) for row in rows)


def chunks_free(db: sqlite3.Connection, before_ms: int, after: tuple[int, ChunkId],
                limit: int) -> tuple[ChunkLine, ...]:
    """Chunks that nothing has referred to since `before_ms` of log time and that have copies, longest first.

    `after`: the time and the id of the last one of the page before.
    """
    rows = db.execute(f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE free_since_ms IS NOT NULL AND free_since_ms <= ?"
                      " AND (free_since_ms, chunk_id) > (?, ?) AND copies > 0"
                      " ORDER BY free_since_ms, chunk_id LIMIT ?", (before_ms, *after, limit))
    return tuple(_line(row) for row in rows)


def chunks_short(db: sqlite3.Connection, after: int, away: Sequence[NodeNo], *, rows_max: int, found_max: int,
                 left_max: int | None = None) -> ChunkPage:
    """A stretch: referenced chunks that have fewer copies than wanted when the nodes of `away` do not count.

    `left_max`: only those with at most so many copies left. A million rows take about half a second, all stretches
    together, whatever is found.
    """
    left = "copies" + "".join(" - (instr(replicas, ?) > 0)" for _ in away)
    condition = f"{left} < wanted" if left_max is None else f"wanted > 0 AND {left} <= {int(left_max)}"
    return _stretch(db, after, rows_max, found_max, condition, [pack_nodes((node_no,)) for node_no in away])


def chunks_stretch(db: sqlite3.Connection, after: int, *, rows_max: int) -> ChunkPage:
    """A stretch of all referenced chunks."""
    return _stretch(db, after, rows_max, rows_max, "refs > 0", [])


def _stretch(db: sqlite3.Connection, after: int, rows_max: int, found_max: int, condition: str,
             values: Sequence[bytes]) -> ChunkPage:
    end = db.execute("SELECT chunk_no FROM chunks WHERE chunk_no > ? ORDER BY chunk_no LIMIT 1 OFFSET ?",
                     (after, rows_max - 1)).fetchone()
    bound = "" if end is None else f" AND chunk_no <= {int(end[0])}"
    rows = db.execute(f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE chunk_no > ?{bound} AND {condition}"
                      " ORDER BY chunk_no LIMIT ?", (after, *values, found_max)).fetchall()
    if len(rows) == found_max:
        return ChunkPage(tuple(_line(row) for row in rows), rows[-1][0])
    return ChunkPage(tuple(_line(row) for row in rows), None if end is None else end[0])


def has_ended_leases(db: sqlite3.Connection, now_ms: int) -> bool:
    """Whether a lease or a bar is over at that log time and still noted: any command of the leader notices."""
    return db.execute("SELECT 1 FROM jobs WHERE state = 'leased' AND lease_until_ms <= ?"
                      " UNION ALL SELECT 1 FROM drops WHERE done_ms > 0 AND done_ms <= ? LIMIT 1",
                      (now_ms, now_ms - DROP_BAR_MS)).fetchone() is not None


def queued_by_kind(db: sqlite3.Connection) -> dict[tuple[NodeNo, str], int]:
    """How many jobs of a kind are queued or leased at each node."""
    return {(NodeNo(node_no), kind): count for node_no, kind, count in db.execute(
        "SELECT node_no, kind, count(*) FROM jobs WHERE state != 'stuck' GROUP BY node_no, kind")}


def cost_of_suiting(db: sqlite3.Connection, victim: NodeNo, thief: NodeNo) -> int | None:
    """What the last job of a queue costs that another node could do: it has neither the chunk nor a job about it.

    None: there is none. (Zones and drops the state looks at when it is asked.)
    """
    row = db.execute(
        "SELECT j.cost FROM (SELECT chunk_id, cost, priority, job_no FROM jobs WHERE node_no = ? AND state = 'queued'"
        " AND kind IN ('repair', 'drain') ORDER BY priority DESC, job_no DESC LIMIT ?) j"
        " JOIN chunks c ON c.chunk_id = j.chunk_id WHERE NOT instr(c.replicas, ?)"
        " AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.chunk_id = j.chunk_id AND o.node_no = ?)"
        " ORDER BY j.priority DESC, j.job_no DESC LIMIT 1",
        (victim, STEAL_LOOKED_MAX, pack_nodes((thief,)), thief)).fetchone()
    return None if row is None else int(row[0])


def stuck_jobs(db: sqlite3.Connection, limit: int) -> tuple[Job, ...]:
    """Jobs that wait for other facts, by number."""
    return tuple(Job(*row) for row in db.execute(f"{_SELECT_JOBS} WHERE state = 'stuck' ORDER BY job_no LIMIT ?",
                                                 (limit,)))


def _line(row: tuple[int, ChunkId, int, int, int, bytes, int | None]) -> ChunkLine:
    no, chunk_id, length, refs, wanted, replicas, free_since_ms = row
    return ChunkLine(no, chunk_id, length, refs, wanted, unpack_nodes(replicas), free_since_ms)
