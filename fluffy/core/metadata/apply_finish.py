"""How leased jobs ended. What comes late, or from a node that does not have the lease, is refused one by one."""

from __future__ import annotations

from dataclasses import replace

from fluffy.base.errors import NodeNotFound, RequestError
from fluffy.core.metadata import chunk_table, drop_table, job_table
from fluffy.core.metadata.commands_jobs import FinishJobs, JobResult
from fluffy.core.metadata.job_rules import COPYING_KINDS, COST_MAX, ERROR_BYTES_MAX, POSITION_BYTES_MAX
from fluffy.core.metadata.job_table import LEASED, QUEUED
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_operator, refused
from fluffy.core.metadata.working import CLOCK_MS_MAX, Working

FINISH_MAX = 500
LEASES_ENDED_MAX = 500
JOB_ENDS = ("done", "failed", "kept", "again")
UNKNOWN_ERROR = "Unknown"


def finish(work: Working, command: FinishJobs) -> Outcome:
    """End leased jobs. facts: done, failed, returned, late (numbers)."""
    refusal = refuse_operator(work, command.header.user_no) or _refuse_values(work, command)
    if refusal is not None:
        return refusal
    ended = job_table.end_leases(work, LEASES_ENDED_MAX)
    counts = {"done": 0, "failed": 0, "returned": 0}
    late: list[int] = []
    for result in command.results:
        row = job_table.job(work, result.job_no)
        if row is None or not _has_lease(work, row, command, result):
            late.append(result.job_no)
            continue
        counts[_end(work, row, result)] += 1
    if command.busy_ms and command.moved_bytes and counts["done"]:
        job_table.tell_speed(work, command.node_no, moved_bytes=command.moved_bytes, busy_ms=command.busy_ms)
    if ended or len(late) < len(command.results):
        work.seq += 1
    return Accepted(work.seq, {**counts, "late": late})


def _refuse_values(work: Working, command: FinishJobs) -> Rejected | None:
    if command.node_no not in work.nodes:
        return refused(NodeNotFound, node_no=command.node_no)
    if len(command.results) > FINISH_MAX:
        return refused(RequestError, f"at most {FINISH_MAX} jobs are finished at a time")
    if command.moved_bytes > COST_MAX or command.busy_ms > CLOCK_MS_MAX:
        return refused(RequestError, "the bytes or the time of the work are out of range")
    for result in command.results:
        error_fits = not result.error or (is_name(result.error) and len(result.error.encode()) <= ERROR_BYTES_MAX)
        if result.end not in JOB_ENDS or not error_fits or len(result.position) > POSITION_BYTES_MAX:
            return refused(RequestError, "a result of a job is out of range", job_no=result.job_no)
    return None


def _has_lease(work: Working, row: Job, command: FinishJobs, result: JobResult) -> bool:
    return (row.state == LEASED and row.lease_until_ms > work.clock_ms and row.node_no == command.node_no
            and (row.term, row.attempt) == (result.term, result.attempt))


def _end(work: Working, row: Job, result: JobResult) -> str:
    if result.end == "failed":
        job_table.fail(work, row, result.error or UNKNOWN_ERROR)
        return "failed"
    if row.kind == "scrub" and result.end == "again":
        job_table.save(work, row, replace(row, state=QUEUED, lease_until_ms=0, failures=0, position=result.position))
        return "returned"
    if row.kind == "drop":
        return _end_drop(work, row, result)
    if result.end != "done":
        job_table.fail(work, row, result.error or UNKNOWN_ERROR)
        return "failed"
    if row.kind in COPYING_KINDS:
        _gain(work, row)
    else:
        work.db.execute("UPDATE scrub_wishes SET done_ms = ? WHERE node_no = ? AND asked_ms <= ?",
                        (max(1, work.clock_ms), row.node_no, max(1, row.created_ms)))
    job_table.tell_done(work, row)
    job_table.delete(work, row)
    return "done"


def _end_drop(work: Working, row: Job, result: JobResult) -> str:
    """done: the file is deleted. Otherwise it is certainly there, and a copy again."""
    if result.end == "done":
        drop_table.end(work, row.chunk_id, row.node_no)
        job_table.tell_done(work, row)
    else:
        _gain(work, row)
    job_table.delete(work, row)
    return "done" if result.end == "done" else "returned"


def _gain(work: Working, row: Job) -> None:
    """The node has a good copy of the job's chunk. (A chunk that was forgotten meanwhile stays so.)"""
    drop_table.lift_bar(work, row.chunk_id, row.node_no)
    chunk = chunk_table.load(work, [row.chunk_id]).get(row.chunk_id)
    if chunk is not None and row.node_no not in chunk.nodes:
        chunk_table.save(work, chunk, refs=chunk.refs, nodes=tuple(sorted({*chunk.nodes, row.node_no})))
