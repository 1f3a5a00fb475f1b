"""The leader's jobs: put into queues, taken away, begun afresh; and wishes for a scrub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fluffy.base.errors import NodeNotFound, RequestError
from fluffy.base.ids import CHUNK_ID_BYTES, NodeNo
from fluffy.core.metadata import apply_finish, apply_leases, chunk_table, drop_table, job_table
from fluffy.core.metadata.commands_jobs import (
    AssignJobs,
    CancelJobs,
    FinishJobs,
    JobOrder,
    LeaseJobs,
    RequestScrub,
    RetryJobs,
    StealJobs,
)
from fluffy.core.metadata.job_rules import (
    COPYING_KINDS,
    COST_MAX,
    JOB_KINDS,
    PRIORITY_MAX,
    QUEUE_JOBS_MAX,
    REASON_BYTES_MAX,
    STUCK_JOBS_MAX,
)
from fluffy.core.metadata.job_table import LEASED, QUEUED, STUCK
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refused
from fluffy.core.metadata.working import Working

# 2,000 orders are 150 KiB of log and 20 ms of apply.
ASSIGN_MAX = 2_000
CANCEL_MAX = 2_000
RETRY_MAX = 2_000
NO_NODE = NodeNo(0)
# Ended leases are noticed by whichever command comes first, so many at a time.
LEASES_ENDED_MAX = 500


def assign(work: Working, command: AssignJobs) -> Outcome:
    """Put jobs into queues. facts: assigned, known, full, skipped."""
    refusal = (refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
               or _refuse_orders(command))
    if refusal is not None:
        return refusal
    job_table.end_leases(work, LEASES_ENDED_MAX)
    drop_table.sweep(work)
    counts = {"assigned": 0, "known": 0, "full": 0, "skipped": 0}
    for order in command.jobs:
        counts[_assign_one(work, order)] += 1
    work.seq += 1
    return Accepted(work.seq, counts)


def _refuse_orders(command: AssignJobs) -> Rejected | None:
    if len(command.jobs) > ASSIGN_MAX:
        return refused(RequestError, f"at most {ASSIGN_MAX} jobs are assigned at a time")
    for order in command.jobs:
        subject_fits = len(order.chunk_id) == (0 if order.kind == "scrub" else CHUNK_ID_BYTES)
        if not (order.kind in JOB_KINDS and subject_fits and 0 <= order.priority <= PRIORITY_MAX
                and 0 <= order.cost <= COST_MAX and is_name(order.reason)
                and len(order.reason.encode()) <= REASON_BYTES_MAX):
            return refused(RequestError, "a job is out of range")
    return None


def _assign_one(work: Working, order: JobOrder) -> str:
    known = job_table.job_of(work, order.chunk_id, order.node_no)
    if known is not None:
        if known.kind == order.kind and known.state == QUEUED and order.priority < known.priority:
            job_table.save(work, known, replace(known, priority=order.priority))
        return "known"
    if not _is_possible(work, order):
        return "skipped"
    load = job_table.load(work, order.node_no)
    # A disk that takes no more copies can still give room: drops go on.
    is_closed = order.kind in COPYING_KINDS and job_table.stuck_jobs(work, order.node_no) >= STUCK_JOBS_MAX
    if is_closed or load.queued + load.leased >= QUEUE_JOBS_MAX:
        return "full"
    job_table.insert(work, Job(
        work.next_no(), order.kind, order.chunk_id, order.node_no, order.priority, order.cost, order.reason, QUEUED,
        work.clock_ms, 0, 0, 0, 0, 0, "", NO_NODE, b"", 0, b""))
    return "assigned"


def _is_possible(work: Working, order: JobOrder) -> bool:
    """Whether the job makes sense now. It is looked at again when it is leased: then the state may be another."""
    if order.node_no not in work.nodes:
        return False
    if order.kind == "scrub":
        return True
    row = chunk_table.load(work, [order.chunk_id]).get(order.chunk_id)
    granted = drop_table.is_granted(work, order.chunk_id, order.node_no)
    if order.kind in COPYING_KINDS:
        return row is not None and row.refs > 0 and order.node_no not in row.nodes and not granted
    return granted or (row is not None and order.node_no in row.nodes)


def cancel(work: Working, command: CancelJobs) -> Outcome:
    """Take jobs away, but none under a valid lease. facts: cancelled, skipped."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    if len(command.job_nos) > CANCEL_MAX:
        return refused(RequestError, f"at most {CANCEL_MAX} jobs are cancelled at a time")
    ended = job_table.end_leases(work, LEASES_ENDED_MAX) + drop_table.sweep(work)
    cancelled = 0
    for no in command.job_nos:
        row = job_table.job(work, no)
        if row is not None and (row.state != LEASED or row.lease_until_ms <= work.clock_ms):
            job_table.delete(work, row)
            cancelled += 1
    if cancelled or ended:
        work.seq += 1
    return Accepted(work.seq, {"cancelled": cancelled, "skipped": len(command.job_nos) - cancelled})


def retry(work: Working, command: RetryJobs) -> Outcome:
    """Let jobs that failed go on at once, as if they never had. facts: retried."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if len(command.job_nos) > RETRY_MAX:
        return refused(RequestError, f"at most {RETRY_MAX} jobs are retried at a time")
    job_nos = command.job_nos or tuple(row[0] for row in work.db.execute(
        "SELECT job_no FROM jobs WHERE state != 'leased' AND failures > 0 ORDER BY job_no LIMIT ?", (RETRY_MAX,)))
    retried = 0
    for no in job_nos:
        row = job_table.job(work, no)
        if row is not None and row.failures and row.state in (QUEUED, STUCK):
            job_table.retry(work, row)
            retried += 1
    if retried:
        work.seq += 1
    return Accepted(work.seq, {"retried": retried})


def request_scrub(work: Working, command: RequestScrub) -> Outcome:
    """Note that nodes shall re-read what they hold; the plan makes jobs of it. facts: nodes."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    for node_no in command.node_nos:
        if node_no not in work.nodes:
            return refused(NodeNotFound, node_no=node_no)
    asked = sorted(set(command.node_nos) or work.nodes)
    # Log time may stand still: a wish is never older than what was done before it.
    work.db.executemany("INSERT OR REPLACE INTO scrub_wishes VALUES (?, ?, 0)",
                        [(node_no, max(1, work.clock_ms)) for node_no in asked])
    work.seq += 1
    return Accepted(work.seq, {"nodes": len(asked)})


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    AssignJobs.KIND: assign,
    CancelJobs.KIND: cancel,
    LeaseJobs.KIND: apply_leases.lease,
    StealJobs.KIND: apply_leases.steal,
    FinishJobs.KIND: apply_finish.finish,
    RetryJobs.KIND: retry,
    RequestScrub.KIND: request_scrub,
}
