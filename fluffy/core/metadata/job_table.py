"""Jobs and their queues in their tables. Every change of a job goes through here, which keeps the sums in step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import drop_table
from fluffy.core.metadata.job_rules import STEALABLE_KINDS, STUCK_AFTER_FAILURES, QueueLoad, back_off_ms, next_rate
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.working import Working

QUEUED = "queued"
LEASED = "leased"
STUCK = "stuck"
LEASE_ENDED = "LeaseEnded"  # the error of a job whose worker did not tell in time

_COLUMNS = ("job_no, kind, chunk_id, node_no, priority, cost, reason, state, created_ms, term, attempt, failures,"
            " lease_until_ms, not_before_ms, error, stolen_from, seen, stuck_ms, position")
_SELECT = f"SELECT {_COLUMNS} FROM jobs"


def job(work: Working, no: int) -> Job | None:
    row = work.db.execute(f"{_SELECT} WHERE job_no = ?", (no,)).fetchone()
    return None if row is None else Job(*row)


def job_of(work: Working, chunk_id: ChunkId, node_no: NodeNo) -> Job | None:
    """The job about that chunk on that node; there is one at most."""
    row = work.db.execute(f"{_SELECT} WHERE chunk_id = ? AND node_no = ?", (chunk_id, node_no)).fetchone()
    return None if row is None else Job(*row)


def jobs_of_chunk(work: Working, chunk_id: ChunkId) -> list[Job]:
    """All jobs about a chunk, by node."""
    return [Job(*row) for row in work.db.execute(f"{_SELECT} WHERE chunk_id = ? ORDER BY node_no", (chunk_id,))]


def due(work: Working, node_no: NodeNo, *, priority_min: int, priority_max: int, limit: int) -> list[Job]:
    """The first queued jobs of a class in a node's queue that may be leased now."""
    return [Job(*row) for row in work.db.execute(
        f"{_SELECT} WHERE node_no = ? AND state = 'queued' AND priority BETWEEN ? AND ? AND not_before_ms <= ?"
        " ORDER BY priority, job_no LIMIT ?", (node_no, priority_min, priority_max, work.clock_ms, limit))]


def tail(work: Working, node_no: NodeNo, limit: int) -> Iterator[Job]:
    """Queued jobs that others could do, from the end of a node's queue."""
    for row in work.db.execute(f"{_SELECT} WHERE node_no = ? AND state = 'queued' AND kind IN ('repair', 'drain')"
                               " ORDER BY priority DESC, job_no DESC LIMIT ?", (node_no, limit)).fetchall():
        yield Job(*row)


def insert(work: Working, row: Job) -> None:
    """Add a job that is not there."""
    work.db.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES ({', '.join('?' * 19)})",
                    (row.no, row.kind, row.chunk_id, row.node_no, row.priority, row.cost, row.reason, row.state,
                     row.created_ms, row.term, row.attempt, row.failures, row.lease_until_ms, row.not_before_ms,
                     row.error, row.stolen_from, row.seen, row.stuck_ms, row.position))
    _count(work, row, 1)


def delete(work: Working, row: Job) -> None:
    work.db.execute("DELETE FROM jobs WHERE job_no = ?", (row.no,))
    _count(work, row, -1)


def save(work: Working, old: Job, new: Job) -> None:
    """Write what a command changes of a job, its queue included."""
    work.db.execute(
        "UPDATE jobs SET node_no = ?, priority = ?, state = ?, term = ?, attempt = ?, failures = ?,"
        " lease_until_ms = ?, not_before_ms = ?, error = ?, stolen_from = ?, seen = ?, stuck_ms = ?, position = ?"
        " WHERE job_no = ?",
        (new.node_no, new.priority, new.state, new.term, new.attempt, new.failures, new.lease_until_ms,
         new.not_before_ms, new.error, new.stolen_from, new.seen, new.stuck_ms, new.position, old.no))
    if (old.node_no, old.state) != (new.node_no, new.state):
        _count(work, old, -1)
        _count(work, new, 1)


def fail(work: Working, row: Job, error: str) -> None:
    """The attempt came to nothing: back to the queue after a pause, or stuck."""
    failures = row.failures + 1
    failed = replace(row, failures=failures, error=error, lease_until_ms=0, state=QUEUED,
                     not_before_ms=work.clock_ms + back_off_ms(failures))
    if failures >= STUCK_AFTER_FAILURES:
        failed = replace(failed, state=STUCK, not_before_ms=0, stuck_ms=max(1, work.clock_ms),
                         seen=_replicas(work, row.chunk_id))
    save(work, row, failed)
    work.db.execute("UPDATE job_queues SET failed = failed + 1 WHERE node_no = ?", (row.node_no,))


def retry(work: Working, row: Job) -> None:
    """Forget the failures of a job that nobody has a lease of."""
    save(work, row, replace(row, state=QUEUED, failures=0, not_before_ms=0, seen=b"", stuck_ms=0))


def _replicas(work: Working, chunk_id: ChunkId) -> bytes:
    row = work.db.execute("SELECT replicas FROM chunks WHERE chunk_id = ?", (chunk_id,)).fetchone()
    return b"" if row is None else bytes(row[0])


def end_leases(work: Working, limit: int) -> int:
    """Jobs whose lease is over in log time go back to their queue, as failed; returns how many."""
    rows = work.db.execute(f"{_SELECT} WHERE state = 'leased' AND lease_until_ms <= ?"
                           " ORDER BY lease_until_ms, job_no LIMIT ?", (work.clock_ms, limit)).fetchall()
    for row in rows:
        fail(work, Job(*row), LEASE_ENDED)
    return len(rows)


_LOADS = "SELECT node_no, queued, queued_bytes, leased, leased_bytes, rate, stealable FROM job_queues"


def loads(work: Working) -> dict[NodeNo, QueueLoad]:
    """What every node has to do, by number."""
    return {NodeNo(row[0]): QueueLoad(*row[1:]) for row in work.db.execute(f"{_LOADS} ORDER BY node_no")}


def load(work: Working, node_no: NodeNo) -> QueueLoad:
    row = work.db.execute(f"{_LOADS} WHERE node_no = ?", (node_no,)).fetchone()
    return QueueLoad(0, 0, 0, 0, 0) if row is None else QueueLoad(*row[1:])


def stuck_jobs(work: Working, node_no: NodeNo) -> int:
    row = work.db.execute("SELECT stuck FROM job_queues WHERE node_no = ?", (node_no,)).fetchone()
    return 0 if row is None else int(row[0])


def open_queue(work: Working, node_no: NodeNo) -> None:
    """Make the queue's row if the node never had a job."""
    work.db.execute("INSERT OR IGNORE INTO job_queues VALUES (?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
                    (node_no,))


def tell_speed(work: Working, node_no: NodeNo, *, moved_bytes: int, busy_ms: int) -> None:
    """A node moved so many bytes in so much time."""
    rate = next_rate(load(work, node_no).rate, moved_bytes, busy_ms)
    work.db.execute("UPDATE job_queues SET rate = ? WHERE node_no = ?", (rate, node_no))


def tell_done(work: Working, row: Job) -> None:
    work.db.execute("UPDATE job_queues SET done = done + 1, done_bytes = done_bytes + ? WHERE node_no = ?",
                    (row.cost, row.node_no))


def forget_node(work: Working, node_no: NodeNo) -> None:
    """A member is gone for good, with its queue, its drops and its wishes."""
    for table in ("jobs", "job_queues", "scrub_wishes"):
        work.db.execute(f"DELETE FROM {table} WHERE node_no = ?", (node_no,))
    drop_table.forget_node(work, node_no)


def _count(work: Working, row: Job, sign: int) -> None:
    open_queue(work, row.node_no)
    if row.state == STUCK:
        work.db.execute("UPDATE job_queues SET stuck = stuck + ? WHERE node_no = ?", (sign, row.node_no))
        return
    column = row.state
    stealable = sign if row.state == QUEUED and row.kind in STEALABLE_KINDS else 0
    work.db.execute(f"UPDATE job_queues SET {column} = {column} + ?, {column}_bytes = {column}_bytes + ?,"
                    " stealable = stealable + ? WHERE node_no = ?", (sign, sign * row.cost, stealable, row.node_no))
