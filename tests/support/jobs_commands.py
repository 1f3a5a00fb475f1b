"""Short names for the commands of background work, by the cluster at log time 1000 in term 1 unless told."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands import NodeState, PublishPlacement
from fluffy.core.metadata.commands_jobs import (
    LEASE_MS,
    AssignJobs,
    CancelJobs,
    FinishJobs,
    JobOrder,
    JobResult,
    LeaseJobs,
    RequestScrub,
    RetryJobs,
    StealJobs,
)
from fluffy.core.metadata.job_rules import priority_of
from fluffy.core.metadata.model_jobs import Job
from tests.support.local_log import header
from tests.support.metadata_commands import AT_MS, CLUSTER, chunk

COST = 8 << 20


def order(kind: str, number: int, node: int, *, left: int = 1, cost: int = COST, reason: str = "missing") -> JobOrder:
    """About the chunk of that number; a scrub has none."""
    chunk_id = ChunkId(b"") if kind == "scrub" else chunk(number)
    return JobOrder(kind, chunk_id, NodeNo(node), priority_of(kind, left), cost, reason)


def assign(*orders: JobOrder, at_ms: int = AT_MS, term: int = 1) -> AssignJobs:
    return AssignJobs(header(CLUSTER, at_ms), term, orders)


def cancel(*numbers: int, at_ms: int = AT_MS, term: int = 1) -> CancelJobs:
    return CancelJobs(header(CLUSTER, at_ms), term, numbers)


def lease(node: int, jobs_max: int = 10, *, at_ms: int = AT_MS, lease_ms: int = LEASE_MS) -> LeaseJobs:
    return LeaseJobs(header(CLUSTER, at_ms), NodeNo(node), jobs_max, lease_ms)


def steal(node: int, *, at_ms: int = AT_MS) -> StealJobs:
    return StealJobs(header(CLUSTER, at_ms), NodeNo(node))


def finish(node: int, *results: JobResult, at_ms: int = AT_MS, moved: int = 0, busy_ms: int = 0) -> FinishJobs:
    return FinishJobs(header(CLUSTER, at_ms), NodeNo(node), results, moved, busy_ms)


def ended(job: Job, end: str = "done", *, error: str = "", position: bytes = b"") -> JobResult:
    """What the worker tells who has the job's present lease."""
    return JobResult(job.no, job.term, job.attempt, end, error, position)


def retry(*numbers: int, at_ms: int = AT_MS) -> RetryJobs:
    return RetryJobs(header(CLUSTER, at_ms), numbers)


def scrub(*node_nos: int, at_ms: int = AT_MS) -> RequestScrub:
    return RequestScrub(header(CLUSTER, at_ms), tuple(NodeNo(no) for no in node_nos))


def placement(epoch: int, *states: str, zones: str = "abcdefg", at_ms: int = AT_MS, term: int = 1) -> PublishPlacement:
    """A map of nodes 1, 2, … in those states, each in its zone."""
    return PublishPlacement(header(CLUSTER, at_ms), term, epoch, tuple(
        NodeState(NodeNo(at + 1), state, zones[at], 100) for at, state in enumerate(states)))
