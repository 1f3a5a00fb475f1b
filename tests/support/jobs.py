"""Background work planted in a door's state: jobs assigned, leased, failed, as the planner and the keepers do it."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_jobs import AssignJobs, FinishJobs, JobOrder, JobResult, LeaseJobs
from fluffy.core.metadata.job_rules import priority_of
from fluffy.core.metadata.queries_redundancy import placed_chunks
from tests.support.native_door import Door


def by_cluster(door: Door, later_ms: int = 0) -> Header:
    """A header of the cluster's own work; log time goes on by `later_ms` beyond the present one."""
    state = door.cluster.reader.read(queries.cluster_state)
    assert state is not None
    return Header(RequestId(b""), state.clock_ms + later_ms, NodeNo(1), UserNo(0))


def chunk_of(door: Door, path: str, index: int = 0) -> tuple[ChunkId, int]:
    found = door.cluster.reader.read(lambda db: placed_chunks(db, parse_path(path), None, index, 1))
    assert found is not None
    return found.chunks[0].chunk_id, found.chunks[0].length


def assign_job(door: Door, path: str, node: int, kind: str = "repair", index: int = 0) -> int:
    """A job about a chunk of a file; returns its number."""
    chunk_id, length = chunk_of(door, path, index)
    order = JobOrder(kind, chunk_id, NodeNo(node), priority_of(kind, 1), length, "too few copies")
    outcome = door.cluster.log.apply(AssignJobs(by_cluster(door), door.cluster.log.term, (order,)))
    assert outcome.facts["assigned"] == 1, outcome
    [job] = door.cluster.reader.read(lambda db: queries.jobs_of_chunks(db, [chunk_id]))[chunk_id][-1:]
    return job.no


def fail_job(door: Door, job_no: int, error: str, times: int) -> None:
    """Lease it and let it fail, each time after its pause."""
    for _ in range(times):
        job = door.cluster.reader.read(lambda db: queries.job(db, job_no))
        assert job is not None
        door.cluster.log.apply(LeaseJobs(by_cluster(door, 120_000), job.node_no, 32))
        leased = door.cluster.reader.read(lambda db: queries.job(db, job_no))
        assert leased is not None and leased.state == "leased", leased
        door.cluster.log.apply(FinishJobs(by_cluster(door), job.node_no, (
            JobResult(job_no, leased.term, leased.attempt, "failed", error),)))
