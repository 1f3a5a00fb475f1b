"""Hypothesis strategies for commands of background work."""

from __future__ import annotations

from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands_jobs import (
    AssignJobs,
    CancelJobs,
    FinishJobs,
    JobCommand,
    JobOrder,
    JobResult,
    LeaseJobs,
    RequestScrub,
    RetryJobs,
    StealJobs,
)
from fluffy.core.metadata.header import Header
from fluffy.core.metadata.job_rules import JOB_KINDS


def job_commands(headers: st.SearchStrategy[Header], *, chunk_ids: st.SearchStrategy[ChunkId],
                 nodes: st.SearchStrategy[NodeNo], ints: st.SearchStrategy[int], texts: st.SearchStrategy[str],
                 terms: st.SearchStrategy[int]) -> st.SearchStrategy[JobCommand]:
    """Job numbers are guessed: they come from the counter of all numbers, which small tests keep small."""
    numbers = st.integers(1, 60)
    kinds = st.sampled_from(JOB_KINDS)
    orders = st.builds(
        lambda kind, chunk_id, node, priority, cost: JobOrder(
            kind, ChunkId(b"") if kind == "scrub" else chunk_id, node, priority, cost, "why"),
        kinds, chunk_ids, nodes, st.integers(0, 499), st.integers(0, 1 << 24))
    wild_orders = st.builds(JobOrder, kinds | texts, chunk_ids, nodes, ints, ints, texts)
    results = st.builds(
        JobResult, numbers, terms, st.integers(1, 3), st.sampled_from(["done", "done", "failed", "kept", "again"]),
        st.sampled_from(["", "DiskFull"]), st.just(b"") | st.binary(max_size=4))
    wild_results = st.builds(JobResult, ints, ints, ints, texts, texts, st.binary(max_size=70))
    return st.one_of(
        st.builds(AssignJobs, headers, terms, st.lists(orders, max_size=4).map(tuple)),
        st.builds(AssignJobs, headers, terms, st.lists(orders, max_size=4).map(tuple)),
        st.builds(AssignJobs, headers, terms, st.lists(wild_orders, max_size=2).map(tuple)),
        st.builds(CancelJobs, headers, terms, st.lists(numbers, max_size=3).map(tuple)),
        st.builds(LeaseJobs, headers, nodes, st.integers(0, 5), st.sampled_from([1_000, 60_000]) | ints),
        st.builds(LeaseJobs, headers, nodes, st.just(4)),
        st.builds(StealJobs, headers, nodes),
        st.builds(FinishJobs, headers, nodes, st.lists(results, max_size=4).map(tuple), ints, ints),
        st.builds(FinishJobs, headers, nodes, st.lists(results | wild_results, max_size=3).map(tuple)),
        st.builds(RetryJobs, headers, st.lists(numbers, max_size=2).map(tuple)),
        st.builds(RequestScrub, headers, st.lists(nodes, max_size=2).map(tuple)))
